/// `P·A = L·U` by Gaussian elimination with partial pivoting, for solving linear systems.
///
/// Source: Golub and Van Loan, Matrix Computations, algorithm 3.4.1.
public struct LUDecomposition: Sendable {
  /// A matrix without an inverse, to the precision of f64.
  public struct Singular: Error, Equatable {
    /// The column whose pivots are all zero, or not finite.
    public let column: Int
  }

  public let size: Int
  /// L below the diagonal (its diagonal is 1), U on and above it.
  private var factors: [Double]
  /// Row of A that stands at each place.
  private var order: [Int]

  public init(_ matrix: DenseMatrix) throws(Singular) {
    precondition(matrix.rows == matrix.columns)
    let size = matrix.rows
    var factors = matrix.values
    var order = Array(0..<size)
    for column in 0..<size {
      var pivot = column
      for row in column + 1..<max(size, column + 1)
      where abs(factors[row * size + column]) > abs(factors[pivot * size + column]) {
        pivot = row
      }
      let value = factors[pivot * size + column]
      guard value != 0, value.isFinite else { throw Singular(column: column) }
      if pivot != column {
        for index in 0..<size { factors.swapAt(pivot * size + index, column * size + index) }
        order.swapAt(pivot, column)
      }
      factors.withUnsafeMutableBufferPointer { factors in
        let rest = column + 1..<size
        let pivotRow = UnsafeBufferPointer(
          rebasing: factors[column * size + rest.lowerBound..<(column + 1) * size])
        for row in rest {
          let factor = factors[row * size + column] / value
          factors[row * size + column] = factor
          guard factor != 0 else { continue }
          add(
            -factor, pivotRow,
            to: UnsafeMutableBufferPointer(
              rebasing: factors[row * size + rest.lowerBound..<(row + 1) * size]))
        }
      }
    }
    (self.size, self.factors, self.order) = (size, factors, order)
  }

  /// x with `A·x = b`.
  public func solve(_ b: [Double]) -> [Double] {
    var x = order.map { b[$0] }
    for row in 0..<size {
      var sum = x[row]
      for column in 0..<row { sum -= factors[row * size + column] * x[column] }
      x[row] = sum
    }
    for row in stride(from: size - 1, through: 0, by: -1) {
      var sum = x[row]
      for column in row + 1..<max(size, row + 1) { sum -= factors[row * size + column] * x[column] }
      x[row] = sum / factors[row * size + row]
    }
    return x
  }

  /// X with `A·X = B`.
  public func solve(_ b: DenseMatrix) -> DenseMatrix {
    precondition(b.rows == size)
    let width = b.columns
    var x = DenseMatrix(rows: size, columns: width)
    for (row, source) in order.enumerated() {
      x.values.replaceSubrange(row * width..<(row + 1) * width, with: b.row(source))
    }
    x.values.withUnsafeMutableBufferPointer { x in
      func row(_ index: Int) -> UnsafeMutableBufferPointer<Double> {
        UnsafeMutableBufferPointer(rebasing: x[index * width..<(index + 1) * width])
      }
      for target in 0..<size {
        for source in 0..<target {
          add(-factors[target * size + source], UnsafeBufferPointer(row(source)), to: row(target))
        }
      }
      for target in stride(from: size - 1, through: 0, by: -1) {
        for source in target + 1..<max(size, target + 1) {
          add(-factors[target * size + source], UnsafeBufferPointer(row(source)), to: row(target))
        }
        let diagonal = factors[target * size + target]
        for index in row(target).indices { row(target)[index] /= diagonal }
      }
    }
    return x
  }
}
