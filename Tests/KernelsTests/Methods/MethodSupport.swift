import Testing

@testable import Kernels

/// Reproducible numbers for tests.
struct TestNumbers {
  private var generator: MersenneTwister

  init(seed: UInt32) { generator = MersenneTwister(seed: seed) }

  /// Uniform in ±`bound`, at 24 bits so that f32 holds them.
  mutating func next(_ bound: Double = 1) -> Double {
    Double(Float((Double(generator.next32() >> 8) / 0x1p23 - 1) * bound))
  }

  mutating func doubles(_ count: Int, _ bound: Double = 1) -> [Double] {
    (0..<count).map { _ in next(bound) }
  }

  mutating func tensor(_ shape: [Int], _ bound: Double = 1) -> AdapterTensor {
    AdapterTensor(shape: shape, doubles(shape.reduce(1, *), bound).map { Float($0) })
  }
}

/// A matrix in f64, for oracles written with plain loops.
struct Dense: Equatable {
  var rows: Int
  var columns: Int
  var values: [Double]

  init(_ rows: Int, _ columns: Int, _ values: [Double]? = nil) {
    (self.rows, self.columns) = (rows, columns)
    self.values = values ?? [Double](repeating: 0, count: rows * columns)
    precondition(self.values.count == rows * columns)
  }

  init(_ tensor: AdapterTensor) {
    self.init(
      tensor.shape.first ?? 1, tensor.shape.dropFirst().reduce(1, *),
      tensor.reals.map { Double($0) })
  }

  subscript(row: Int, column: Int) -> Double {
    get { values[row * columns + column] }
    set { values[row * columns + column] = newValue }
  }

  var transposed: Dense {
    var result = Dense(columns, rows)
    for i in 0..<rows { for j in 0..<columns { result[j, i] = self[i, j] } }
    return result
  }

  static func * (a: Dense, b: Dense) -> Dense {
    precondition(a.columns == b.rows)
    var result = Dense(a.rows, b.columns)
    for i in 0..<a.rows {
      for j in 0..<b.columns {
        for k in 0..<a.columns { result[i, j] += a[i, k] * b[k, j] }
      }
    }
    return result
  }

  static func * (scale: Double, a: Dense) -> Dense {
    Dense(a.rows, a.columns, a.values.map { scale * $0 })
  }

  static func + (a: Dense, b: Dense) -> Dense {
    precondition(a.rows == b.rows && a.columns == b.columns)
    return Dense(a.rows, a.columns, zip(a.values, b.values).map(+))
  }

  /// Row i times `factors[i]`.
  func scalingRows(_ factors: [Double]) -> Dense {
    var result = self
    for i in 0..<rows { for j in 0..<columns { result[i, j] *= factors[i] } }
    return result
  }

  var rowNorms: [Double] {
    (0..<rows).map { i in
      (0..<columns).reduce(0) { $0 + self[i, $1] * self[i, $1] }.squareRoot()
    }
  }
}

/// A base weight in memory.
struct DenseSource: RowSource {
  var rows: Int
  var columns: Int
  var values: [Float]

  init(_ dense: Dense) {
    (rows, columns) = (dense.rows, dense.columns)
    values = dense.values.map { Float($0) }
  }

  func read(into band: RowBand) {
    for row in band.rows {
      for column in 0..<columns { band[row][column] = values[row * columns + column] }
    }
  }
}

/// A frozen layer with its weight in memory.
struct DenseLayer<Scalar: TrainingScalar>: FrozenLayer {
  let weight: ScalarBuffer<Scalar>
  let biasValues: ScalarBuffer<Scalar>?
  let inFeatures: Int
  let outFeatures: Int

  init(_ weight: Dense, bias: [Double]?) {
    (outFeatures, inFeatures) = (weight.rows, weight.columns)
    self.weight = ScalarBuffer(weight.values.map { Float($0) })
    biasValues = bias.map { ScalarBuffer($0.map { Float($0) }) }
  }

  var matrix: MatrixView<Scalar> { weight.matrix(rows: outFeatures, columns: inFeatures) }
  var bias: UnsafeMutableBufferPointer<Scalar>? { biasValues?.values }

  func squaredRowNorms() -> [Double] {
    (0..<outFeatures).map { row in
      matrix[row].map { Float($0) }.withUnsafeBufferPointer { VectorArithmetic.sumOfSquares($0) }
    }
  }

  func multiply(_ input: MatrixView<Scalar>, into output: MatrixView<Scalar>) {
    PlainProducts().multiply(input, matrix.transposed, into: output)
  }

  func multiplyTransposed(
    _ outputGradient: MatrixView<Scalar>, into inputGradient: MatrixView<Scalar>
  ) {
    PlainProducts().multiply(outputGradient, matrix, into: inputGradient)
  }
}

/// W' of `update` in f32, unrounded, as a merge computes it, in bands of `height` rows.
func merged(_ update: any WeightUpdate, _ weight: Dense, height: Int = 3) throws -> [Float] {
  let source = DenseSource(weight)
  precondition(update.rows == source.rows && update.columns == source.columns)
  let prepared = try update.prepared(reading: source)
  var result = source.values
  let step = height.isMultiple(of: prepared.rowGranularity) ? height : source.rows
  for start in stride(from: 0, to: source.rows, by: max(step, 1)) {
    let range = start..<min(start + step, source.rows)
    var base = Array(
      source.values[range.lowerBound * source.columns..<range.upperBound * source.columns])
    var delta = [Float](repeating: 0, count: base.count)
    var factors = [Float](repeating: 0, count: max(range.count, source.columns, base.count))
    base.withUnsafeMutableBufferPointer { base in
      delta.withUnsafeMutableBufferPointer { delta in
        factors.withUnsafeMutableBufferPointer { factors in
          let band = RowBand(rows: range, columns: source.columns, values: base)
          let change = RowBand(rows: range, columns: source.columns, values: delta)
          switch prepared.form {
          case .additive:
            prepared.addDelta(to: change, scale: 1)
            for index in base.indices { result[start * source.columns + index] += delta[index] }
          case .scaled(let axis):
            prepared.addDelta(to: change, scale: 1)
            prepared.fillFactors(base: band, delta: change, factors: factors)
            for index in base.indices {
              let (row, column) = (index / source.columns, index % source.columns)
              let factor =
                switch axis {
                case .perRow: factors[row]
                case .perColumn: factors[column]
                case .perElement: factors[index]
                }
              result[start * source.columns + index] = factor * (base[index] + delta[index])
            }
          case .general:
            var copy = Array(base)
            copy.withUnsafeMutableBufferPointer {
              prepared.transform(
                RowBand(rows: range, columns: source.columns, values: $0), base: band)
            }
            for index in base.indices { result[start * source.columns + index] = copy[index] }
          }
        }
      }
    }
  }
  return result
}

/// The largest difference, relative to the largest magnitude (at least 1) of `b`.
func distance(_ a: some Sequence<Double>, _ b: some Sequence<Double>) -> Double {
  var (difference, size, count) = (0.0, 1.0, (0, 0))
  for value in a { count.0 += value.isNaN ? 0 : 1 }
  for value in b { count.1 += value.isNaN ? 0 : 1 }
  for (a, b) in zip(a, b) {
    difference = max(difference, abs(a - b))
    size = max(size, abs(b))
  }
  return count.0 == count.1 ? difference / size : .infinity
}
