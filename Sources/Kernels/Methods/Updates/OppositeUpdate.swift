/// `W' = W − D`: an additive update taken back.
struct OppositeUpdate: WeightUpdate {
  private let update: any WeightUpdate

  /// - Precondition: `update` is additive.
  init(of update: any WeightUpdate) {
    precondition(update.form == .additive)
    self.update = update
  }

  var rows: Int { update.rows }
  var columns: Int { update.columns }
  var form: UpdateForm { .additive }
  var rowGranularity: Int { update.rowGranularity }
  var lowRank: LowRankFactors? { update.lowRank?.scaled(by: -1) }

  func addDelta(to delta: RowBand, scale: Float) { update.addDelta(to: delta, scale: -scale) }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    OppositeUpdate(of: try update.prepared(reading: base))
  }

  func transposed() -> (any WeightUpdate)? { update.transposed().map(OppositeUpdate.init(of:)) }
  func inverse() -> (any WeightUpdate)? { update }
}
