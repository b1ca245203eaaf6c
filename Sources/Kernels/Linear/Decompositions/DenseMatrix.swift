/// A matrix of f64, row-major: the working form of the decompositions.
///
/// All of them use additions, multiplications, divisions and square roots in a fixed order, without
/// fused operations and without a library, so that they give the same bits on every machine.
public struct DenseMatrix: Sendable, Equatable {
  public let rows: Int
  public let columns: Int
  /// `rows × columns` elements, row-major.
  public var values: [Double]

  public init(rows: Int, columns: Int, values: [Double]) {
    precondition(values.count == rows * columns)
    (self.rows, self.columns, self.values) = (rows, columns, values)
  }

  public init(rows: Int, columns: Int) {
    self.init(rows: rows, columns: columns, values: [Double](repeating: 0, count: rows * columns))
  }

  /// The matrix of f32 values, row-major.
  public init(rows: Int, columns: Int, _ values: [Float]) {
    self.init(rows: rows, columns: columns, values: values.map(Double.init))
  }

  /// The identity of `size × size`.
  public init(identity size: Int) {
    self.init(rows: size, columns: size)
    for index in 0..<size { self[index, index] = 1 }
  }

  public subscript(row: Int, column: Int) -> Double {
    get { values[row * columns + column] }
    set { values[row * columns + column] = newValue }
  }

  /// The elements rounded to f32.
  public var floats: [Float] { values.map(Float.init) }

  public var transposed: DenseMatrix {
    var result = DenseMatrix(rows: columns, columns: rows)
    for row in 0..<rows {
      for column in 0..<columns { result[column, row] = self[row, column] }
    }
    return result
  }

  /// The product `self · other`, each element summed in ascending order of the inner index.
  public func multiplied(by other: DenseMatrix) -> DenseMatrix {
    precondition(columns == other.rows)
    var product = DenseMatrix(rows: rows, columns: other.columns)
    product.values.withUnsafeMutableBufferPointer { product in
      other.values.withUnsafeBufferPointer { other in
        let width = self.columns == 0 ? 0 : other.count / self.columns
        for row in 0..<rows {
          let target = UnsafeMutableBufferPointer(
            rebasing: product[row * width..<(row + 1) * width])
          for inner in 0..<columns {
            add(
              self[row, inner],
              UnsafeBufferPointer(rebasing: other[inner * width..<(inner + 1) * width]), to: target)
          }
        }
      }
    }
    return product
  }

  /// Row `index`.
  public func row(_ index: Int) -> ArraySlice<Double> {
    values[index * columns..<(index + 1) * columns]
  }
}

/// `target += factor · values`, each product rounded.
func add(
  _ factor: Double, _ values: UnsafeBufferPointer<Double>,
  to target: UnsafeMutableBufferPointer<Double>
) {
  assert(values.count == target.count)
  guard let from = values.baseAddress, let to = target.baseAddress else { return }
  for index in 0..<values.count { to[index] += factor * from[index] }
}

/// Σ x·y in eight lanes (index modulo 8, ascending), the lanes then added pairwise, the rest at the
/// end: the same order on every machine.
func dot(_ x: UnsafeBufferPointer<Double>, _ y: UnsafeBufferPointer<Double>) -> Double {
  assert(x.count == y.count)
  guard let x0 = x.baseAddress, let y0 = y.baseAddress else { return 0 }
  let whole = x.count & ~7
  var lanes = SIMD8<Double>.zero
  var index = 0
  while index < whole {
    let a = UnsafeRawPointer(x0 + index).loadUnaligned(as: SIMD8<Double>.self)
    let b = UnsafeRawPointer(y0 + index).loadUnaligned(as: SIMD8<Double>.self)
    lanes += a * b
    index += 8
  }
  let four = lanes.lowHalf + lanes.highHalf
  let two = four.lowHalf + four.highHalf
  var sum = two[0] + two[1]
  while index < x.count {
    sum += x0[index] * y0[index]
    index += 1
  }
  return sum
}
