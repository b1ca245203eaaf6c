import Kernels

/// One module's change in several adapters, and how they become one.
struct FactorCombination {
  /// Weights of the adapters that have the module, and its factors in them.
  let terms: [(weight: Double, factors: LowRankFactors)]
  let request: CombineRequest
  /// The largest rank of any module of the adapters: what PEFT's `svd` modes give every module.
  let largestRank: Int

  /// A change `B·A` of scale 1.
  struct Result {
    let rank: Int
    /// `rank × columns`.
    let a: [Float]
    /// `rows × rank`.
    let b: [Float]
    /// ‖Δ − Δ_r‖ / ‖Δ‖.
    let truncation: Double
    /// ‖Δ‖².
    let deltaSquared: Double
  }

  private var rows: Int { terms[0].factors.rows }
  private var columns: Int { terms[0].factors.columns }

  /// - Parameter module: for messages.
  func combined(module: String, generator: inout NumpyGenerator) throws -> Result {
    switch request.mode.space {
    case .stackedFactors:
      let (a, b, rank) = stacked()
      let limit = request.mode == .svd ? request.rank ?? largestRank : request.rank ?? rank
      return bounded(a: a, b: b, rank: rank, limit: limit, always: request.mode == .svd)
    case .factors:
      let ranks = terms.map(\.factors.rank)
      guard Set(ranks).count == 1 else {
        throw CombineError.ranks(module: module, mode: request.mode, ranks: ranks)
      }
      let scales = terms.map { $0.weight * Double($0.factors.scale) }
      // A negative sign goes to one of the factors only.
      let a = operate(
        terms.map(\.factors.a),
        scales.map { Float(($0 < 0 ? -1 : 1) * $0.magnitude.squareRoot()) }, &generator)
      let b = operate(
        terms.map(\.factors.b), scales.map { Float($0.magnitude.squareRoot()) }, &generator)
      return bounded(a: a, b: b, rank: ranks[0], limit: request.rank ?? ranks[0], always: false)
    case .changes:
      let change = operate(
        terms.map { dense($0.factors) }, terms.map { Float($0.weight) }, &generator)
      return result(
        of: try TruncatedSVD(
          rows: rows, columns: columns, change, rank: request.rank ?? largestRank,
          threads: request.threads, tolerance: 1e-12))
    }
  }

  private func operate(
    _ tensors: [[Float]], _ weights: [Float], _ generator: inout NumpyGenerator
  ) -> [Float] {
    TaskVectors.combined(
      tensors, weights: weights, mode: request.mode, density: request.density ?? 1,
      majoritySign: request.majoritySign, generator: &generator)
  }

  /// A's below and B's beside each other; weights and scales go into A.
  private func stacked() -> (a: [Float], b: [Float], rank: Int) {
    let rank = terms.reduce(0) { $0 + $1.factors.rank }
    var a: [Float] = []
    a.reserveCapacity(rank * columns)
    for (weight, factors) in terms {
      let scale = Float(weight * Double(factors.scale))
      for value in factors.a { a.append(scale * value) }
    }
    var b: [Float] = []
    b.reserveCapacity(rows * rank)
    for row in 0..<rows {
      for (_, factors) in terms {
        b += factors.b[row * factors.rank..<(row + 1) * factors.rank]
      }
    }
    return (a, b, rank)
  }

  /// ΔW, `rows × columns`.
  private func dense(_ factors: LowRankFactors) -> [Float] {
    var values = [Float](repeating: 0, count: rows * columns)
    values.withUnsafeMutableBufferPointer {
      LowRankUpdate(factors).addDelta(
        to: RowBand(rows: 0..<rows, columns: columns, values: $0), scale: 1)
    }
    return values
  }

  /// `b·a`, brought down to `limit` where its rank is greater, or `always` in the form of an SVD.
  private func bounded(
    a: [Float], b: [Float], rank: Int, limit: Int, always: Bool
  ) -> Result {
    let left = DenseMatrix(rows: rows, columns: rank, b)
    let right = DenseMatrix(rows: rank, columns: columns, a)
    if limit >= rank, !always {
      return Result(
        rank: rank, a: a, b: b, truncation: 0,
        deltaSquared: Self.squaredNorm(ofProduct: left, right))
    }
    return result(of: TruncatedSVD(productOf: left, right, rank: limit))
  }

  /// ‖b·a‖² = Σ (bᵀ·b)∘(a·aᵀ).
  private static func squaredNorm(ofProduct b: DenseMatrix, _ a: DenseMatrix) -> Double {
    let left = b.transposed.multiplied(by: b)
    let right = a.multiplied(by: a.transposed)
    return max(0, zip(left.values, right.values).reduce(0) { $0 + $1.0 * $1.1 })
  }

  /// B = U·S and A = V, as PEFT writes an SVD.
  private func result(of svd: TruncatedSVD) -> Result {
    let rank = svd.values.count
    var left = svd.left
    for k in 0..<rank {
      for column in 0..<left.columns { left[k, column] *= svd.values[k] }
    }
    return Result(
      rank: rank, a: svd.right.floats, b: left.transposed.floats, truncation: svd.truncation,
      deltaSquared: svd.totalSquared)
  }
}
