import Kernels

/// A low-rank change ΔW = s·B·A, measured on its factors: nothing of the size of ΔW is ever made.
struct MeasuredFactors: Sendable {
  let factors: LowRankFactors
  /// Columns of B, one after the other: `rank × rows`.
  private let columns: [Float]

  init(_ factors: LowRankFactors) {
    self.factors = factors
    columns = transpose(factors.b, rows: factors.rows, columns: factors.rank)
  }

  private var scale: Double { Double(factors.scale) }

  /// ⟨ΔW₁, ΔW₂⟩ = s₁·s₂·tr((B₁ᵀB₂)(A₂A₁ᵀ)).
  ///
  /// - Precondition: both change matrices of one size.
  func inner(_ other: MeasuredFactors) -> Double {
    let left = products(columns, other.columns, length: factors.rows)
    let right = products(factors.a, other.factors.a, length: factors.columns)
    return scale * other.scale * zip(left, right).reduce(0) { $0 + $1.0 * $1.1 }
  }

  var squaredNorm: Double { inner(self) }

  /// ‖ΔW₁ − ΔW₂‖². Of factors of one rank and scale it is taken of their differences,
  /// `E·A₁ + B₂·F` with E = B₁ − B₂ and F = A₁ − A₂, so that it stays exact where they are close.
  func squaredDistance(_ other: MeasuredFactors) -> Double {
    guard factors.rank == other.factors.rank, factors.scale == other.factors.scale else {
      return max(0, squaredNorm - 2 * inner(other) + other.squaredNorm)
    }
    let e = zip(columns, other.columns).map { $0 - $1 }
    let f = zip(factors.a, other.factors.a).map { $0 - $1 }
    func trace(_ left: [Double], _ right: [Double]) -> Double {
      zip(left, right).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let (rows, width) = (factors.rows, factors.columns)
    let sum =
      trace(products(e, e, length: rows), products(factors.a, factors.a, length: width))
      + 2 * trace(products(e, other.columns, length: rows), products(factors.a, f, length: width))
      + trace(products(other.columns, other.columns, length: rows), products(f, f, length: width))
    return max(0, scale * scale * sum)
  }

  /// The singular values of ΔW, descending, `rank` of them: the roots of the eigenvalues of
  /// `G_B^½·G_A·G_B^½`, G the Gram matrices of the factors. Those below 2⁻²⁶ of the largest are noise.
  func singularValues() throws -> [Double] {
    let rank = factors.rank
    guard rank > 0 else { return [] }
    let left = try SymmetricEigen(
      DenseMatrix(
        rows: rank, columns: rank, values: products(columns, columns, length: factors.rows)))
    let right = DenseMatrix(
      rows: rank, columns: rank,
      values: products(factors.a, factors.a, length: factors.columns))
    var core = left.vectors.multiplied(by: right).multiplied(by: left.vectors.transposed)
    let roots = left.values.map { max($0, 0).squareRoot() }
    for row in 0..<rank {
      for column in 0..<rank { core[row, column] *= roots[row] * roots[column] }
    }
    return try SymmetricEigen(core).values.map { abs(scale) * max($0, 0).squareRoot() }
  }

  /// The products of every row of `x` with every row of `y`, each of `length` elements.
  private func products(_ x: [Float], _ y: [Float], length: Int) -> [Double] {
    guard length > 0 else { return [Double](repeating: 0, count: 0) }
    let (m, n) = (x.count / length, y.count / length)
    var result = [Double](repeating: 0, count: m * n)
    x.withUnsafeBufferPointer { x in
      y.withUnsafeBufferPointer { y in
        for row in 0..<m {
          let left = UnsafeBufferPointer(rebasing: x[row * length..<(row + 1) * length])
          for column in 0..<n {
            result[row * n + column] = VectorArithmetic.dot(
              left, UnsafeBufferPointer(rebasing: y[column * length..<(column + 1) * length]))
          }
        }
      }
    }
    return result
  }
}

/// The stable rank of a matrix, Σσ² / σ₁² (Rudelson and Vershynin 2007): at most its rank, 1 when one
/// direction is all there is; 0 of zero.
func stableRank(_ singularValues: [Double]) -> Double {
  guard let largest = singularValues.first, largest > 0 else { return 0 }
  return singularValues.reduce(0) { $0 + ($1 / largest) * ($1 / largest) }
}

/// The effective rank of a matrix, the exponential of the entropy of its singular values as parts of their
/// sum (Roy and Vetterli 2007): between 1 and the rank, which it is where all are equal; 0 of zero.
func effectiveRank(_ singularValues: [Double]) -> Double {
  let sum = singularValues.reduce(0, +)
  guard sum > 0 else { return 0 }
  let entropy = singularValues.reduce(0) { entropy, value in
    let part = value / sum
    return part.isNormal ? entropy - part * ReproducibleMath.logarithm(part) : entropy
  }
  return ReproducibleMath.exponential(entropy)
}
