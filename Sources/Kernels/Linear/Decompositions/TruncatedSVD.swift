/// The leading singular values and vectors of a matrix: `A ≈ Uᵀ·diag(S)·V`, the best approximation of
/// its rank.
///
/// Of a product `B·A` the decomposition is exact and never forms the product (QR of both factors, then
/// an SVD as small as their rank). Of a matrix given whole it is exact up to `exactSize`, and beyond
/// that a subspace iteration from a seeded random start, which ends when the energy in the wanted
/// values no longer grows by more than `tolerance`. The same numbers on every machine and for any number of threads.
///
/// Source: Halko, Martinsson and Tropp 2011 (0909.4061), algorithms 4.4 and 5.1.
public struct TruncatedSVD: Sendable {
  /// Descending.
  public let values: [Double]
  /// Row k is the left vector of `values[k]`: `k × rows`.
  public let left: DenseMatrix
  /// Row k is the right vector of `values[k]`: `k × columns`.
  public let right: DenseMatrix
  /// ‖A‖², Frobenius.
  public let totalSquared: Double
  /// ‖A − A_r‖², Frobenius.
  public let residualSquared: Double

  /// Matrices whose smaller dimension is at most this are decomposed exactly.
  public static let exactSize = 64
  /// Directions beyond the wanted ones.
  public static let oversampling = 10
  /// Relative growth of the energy at which the iteration ends, unless another is given.
  public static let tolerance = 1e-8
  private static let iterationLimit = 60

  /// The part of ‖A‖² that the decomposition keeps; 1 for a zero matrix.
  public var keptEnergy: Double {
    totalSquared > 0 ? 1 - residualSquared / totalSquared : 1
  }

  /// ‖A − A_r‖ / ‖A‖; 0 for a zero matrix.
  public var truncation: Double {
    totalSquared > 0 ? (residualSquared / totalSquared).squareRoot() : 0
  }

  /// The leading `rank` triples of `b·a`.
  ///
  /// - Parameters:
  ///   - b: `rows × k`.
  ///   - a: `k × columns`.
  public init(productOf b: DenseMatrix, _ a: DenseMatrix, rank: Int) {
    let first = QRDecomposition(b)
    let second = QRDecomposition(a.transposed)
    let core = SingularValues(first.r.multiplied(by: second.r.transposed))
    let squares = core.values.map { $0 * $0 }
    self.init(
      values: core.values, left: core.left.multiplied(by: first.q.transposed),
      right: core.right.multiplied(by: second.q.transposed), count: rank,
      total: squares.reduce(0, +), residual: squares.dropFirst(rank).reduce(0, +))
  }

  /// The leading `rank` triples of the matrix of f32 `values`, `rows × columns`, row-major.
  ///
  /// - Parameter tolerance: the relative growth of the energy at which the iteration ends; the matrix of
  ///   the triples is then off by about its square root.
  public init(
    rows: Int, columns: Int, _ values: [Float], rank: Int, threads: Int = 1,
    tolerance: Double = Self.tolerance
  ) throws {
    precondition(values.count == rows * columns)
    let smaller = min(rows, columns)
    let wanted = min(rank, smaller)
    if smaller <= Self.exactSize {
      let exact = SingularValues(DenseMatrix(rows: rows, columns: columns, values))
      let squares = exact.values.map { $0 * $0 }
      self.init(
        values: exact.values, left: exact.left, right: exact.right, count: wanted,
        total: squares.reduce(0, +), residual: squares.dropFirst(wanted).reduce(0, +))
      return
    }
    let matrix = ProductMatrix(rows: rows, columns: columns, values: values, threads: threads)
    let total = values.withUnsafeBufferPointer { VectorArithmetic.sumOfSquares($0) }
    let width = min(wanted + Self.oversampling, smaller)
    var basis = try QRDecomposition(matrix.times(Self.start(rows: columns, columns: width))).q
    var energy = -1.0
    var iteration = 0
    while true {
      // Dᵀ·Q, columns × width: its singular values are those of D within the basis.
      let projected = SingularValues(try matrix.transposedTimes(basis))
      let found = projected.values.prefix(wanted).reduce(0) { $0 + $1 * $1 }
      iteration += 1
      if found - energy <= tolerance * found || iteration == Self.iterationLimit {
        self.init(
          values: projected.values, left: projected.right.multiplied(by: basis.transposed),
          right: projected.left, count: wanted, total: total, residual: max(0, total - found))
        return
      }
      energy = found
      basis = try QRDecomposition(matrix.times(projected.left.transposed)).q
    }
  }

  private init(
    values: [Double], left: DenseMatrix, right: DenseMatrix, count: Int, total: Double,
    residual: Double
  ) {
    let count = min(count, values.count)
    self.values = Array(values.prefix(count))
    self.left = left.firstRows(count)
    self.right = right.firstRows(count)
    totalSquared = total
    residualSquared = residual
  }

  /// Numbers of −1 ..< 1 from NumPy's PCG64, seed 0.
  private static func start(rows: Int, columns: Int) -> DenseMatrix {
    var generator = NumpyGenerator(seed: 0)
    return DenseMatrix(
      rows: rows, columns: columns,
      values: (0..<rows * columns).map { _ in Double(generator.next64() >> 11) * 0x1p-52 - 1 })
  }
}

extension DenseMatrix {
  /// The first `count` rows.
  public func firstRows(_ count: Int) -> DenseMatrix {
    DenseMatrix(rows: count, columns: columns, values: Array(values.prefix(count * columns)))
  }
}

/// A matrix of f32 that is multiplied by narrow ones of f64. Threads share rows of the product, so the
/// order of every sum is that of the inner index.
private struct ProductMatrix: Sendable {
  let rows: Int
  let columns: Int
  /// `rows × columns`, row-major.
  let values: [Float]
  let threads: Int

  /// `self · x`, x `columns × width`.
  func times(_ x: DenseMatrix) throws -> DenseMatrix {
    try product(rows: rows, width: x.columns) { row, target in
      x.values.withUnsafeBufferPointer { x in
        for column in 0..<columns {
          let factor = Double(values[row * columns + column])
          if factor != 0 {
            add(
              factor,
              UnsafeBufferPointer(rebasing: x[column * target.count..<(column + 1) * target.count]),
              to: target)
          }
        }
      }
    }
  }

  /// `selfᵀ · x`, x `rows × width`.
  func transposedTimes(_ x: DenseMatrix) throws -> DenseMatrix {
    try product(rows: columns, width: x.columns) { column, target in
      x.values.withUnsafeBufferPointer { x in
        for row in 0..<rows {
          let factor = Double(values[row * columns + column])
          if factor != 0 {
            add(
              factor,
              UnsafeBufferPointer(rebasing: x[row * target.count..<(row + 1) * target.count]),
              to: target)
          }
        }
      }
    }
  }

  /// A matrix whose rows `fill` computes, in strips by several threads.
  private func product(
    rows: Int, width: Int, _ fill: @Sendable (Int, UnsafeMutableBufferPointer<Double>) -> Void
  ) throws -> DenseMatrix {
    var result = DenseMatrix(rows: rows, columns: width)
    try result.values.withUnsafeMutableBufferPointer { result in
      nonisolated(unsafe) let result = result
      let workers = max(1, min(threads, rows))
      try Workers.run(count: workers) { worker in
        for row in rows * worker / workers..<rows * (worker + 1) / workers {
          fill(row, UnsafeMutableBufferPointer(rebasing: result[row * width..<(row + 1) * width]))
        }
      }
    }
    return result
  }
}

extension TruncatedSVD {
  /// The decomposition with its first `count` triples only.
  public func prefix(_ count: Int) -> TruncatedSVD {
    let dropped = values.dropFirst(count).reduce(0) { $0 + $1 * $1 }
    return TruncatedSVD(
      values: values, left: left, right: right, count: count, total: totalSquared,
      residual: residualSquared + dropped)
  }
}
