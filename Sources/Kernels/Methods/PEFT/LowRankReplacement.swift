/// `W' = W0 + s·(B·A − B₀·A₀)`: a low-rank change that comes in place of a part of the base, which is found in
/// the base itself.
struct LowRankReplacement: WeightUpdate {
  /// What is added.
  let factors: LowRankFactors
  /// What is taken away, B₀ (`rows × rank`) and A₀ (`rank × columns`), not scaled.
  let removed: @Sendable (any RowSource) throws -> (b: [Double], a: [Double])

  var rows: Int { factors.rows }
  var columns: Int { factors.columns }
  var form: UpdateForm { .additive }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    let (b, a) = try removed(base)
    let (own, other) = (factors.rank, a.count / max(columns, 1))
    let scale = Double(factors.scale)
    var joined: [Float] = []
    joined.reserveCapacity(rows * (own + other))
    for row in 0..<rows {
      joined += factors.b[row * own..<(row + 1) * own]
      joined += b[row * other..<(row + 1) * other].map { Float(-$0 / scale) }
    }
    return LowRankUpdate(
      LowRankFactors(
        rank: own + other, rows: rows, columns: columns, b: joined,
        a: factors.a + a.map { Float($0) }, scale: factors.scale))
  }
}
