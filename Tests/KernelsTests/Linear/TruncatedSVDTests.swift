import Testing

@testable import Kernels

@Suite struct TruncatedSVDTests {
  private func random(_ count: Int, seed: UInt64) -> [Float] {
    var generator = NumpyGenerator(seed: seed)
    return (0..<count).map { _ in Float(generator.integer(through: 2000)) / 1000 - 1 }
  }

  /// A spectrum that falls slowly, the worst case of a random start, and one that falls fast.
  @Test(arguments: [0.97, 0.5])
  func againstTheFullDecomposition(_ decay: Double) throws {
    let (rows, columns) = (90, 80)
    let noise = DenseMatrix(rows: rows, columns: columns, random(rows * columns, seed: 1))
    let svd = SingularValues(noise)
    var left = svd.left
    var value = 1.0
    for k in 0..<columns {
      for index in 0..<rows { left[k, index] *= value }
      value *= decay
    }
    let values = left.transposed.multiplied(by: svd.right).floats
    let exact = SingularValues(DenseMatrix(rows: rows, columns: columns, values))
    for rank in [1, 4, 20, 80] {
      let found = try TruncatedSVD(rows: rows, columns: columns, values, rank: rank)
      #expect(found.values.count == rank)
      let squares = exact.values.map { $0 * $0 }
      let lost = squares.dropFirst(rank).reduce(0, +)
      #expect(abs(found.residualSquared - lost) < 1e-4 * squares.reduce(0, +))
      for k in 0..<rank {
        #expect(abs(found.values[k] - exact.values[k]) < 1e-4 * exact.values[0])
      }
      // The vectors reproduce the matrix up to the residual.
      var product = [Double](repeating: 0, count: rows * columns)
      for k in 0..<rank {
        for row in 0..<rows {
          for column in 0..<columns {
            product[row * columns + column] +=
              found.values[k] * found.left[k, row] * found.right[k, column]
          }
        }
      }
      let residual = zip(values, product).reduce(0.0) {
        $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1)
      }
      #expect(abs(residual - found.residualSquared) < 1e-9 * squares.reduce(0, +))
    }
  }

  @Test func threadsDoNotMatter() throws {
    let values = random(70 * 100, seed: 2)
    let one = try TruncatedSVD(rows: 70, columns: 100, values, rank: 3, threads: 1)
    let three = try TruncatedSVD(rows: 70, columns: 100, values, rank: 3, threads: 3)
    #expect(one.values == three.values && one.left == three.left && one.right == three.right)
  }

  /// The product of thin factors, with a rank that is greater than a side, and zeros.
  @Test func products() {
    for (rows, inner, columns) in [(30, 4, 20), (3, 7, 9), (9, 7, 3)] {
      let b = DenseMatrix(rows: rows, columns: inner, random(rows * inner, seed: 5))
      let a = DenseMatrix(rows: inner, columns: columns, random(inner * columns, seed: 6))
      let exact = SingularValues(b.multiplied(by: a))
      let found = TruncatedSVD(productOf: b, a, rank: 2)
      #expect(found.values.count == 2)
      for k in 0..<2 { #expect(abs(found.values[k] - exact.values[k]) < 1e-12 * exact.values[0]) }
      let lost = exact.values.dropFirst(2).reduce(0) { $0 + $1 * $1 }
      #expect(abs(found.residualSquared - lost) < 1e-12 * found.totalSquared)
    }
    let zero = TruncatedSVD(
      productOf: DenseMatrix(rows: 3, columns: 2), DenseMatrix(rows: 2, columns: 4), rank: 2)
    #expect(zero.values == [0, 0] && zero.truncation == 0)
  }
}
