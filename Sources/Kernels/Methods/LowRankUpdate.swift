/// `W' = W + D`, `D = scale · B·A`.
struct LowRankUpdate: WeightUpdate {
  let factors: LowRankFactors

  init(_ factors: LowRankFactors) { self.factors = factors }

  var rows: Int { factors.rows }
  var columns: Int { factors.columns }
  var form: UpdateForm { .additive }
  var lowRank: LowRankFactors? { factors }

  func addDelta(to delta: RowBand, scale: Float) {
    MergeRows.addLowRank([factors], scale: scale, to: delta)
  }

  func transposed() -> (any WeightUpdate)? { LowRankUpdate(factors.transposed()) }
}
