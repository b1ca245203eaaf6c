/// `W' = W + scale·B·A`: LoRA, and every method that can be written that way.
public struct LowRankUpdate: WeightUpdate {
  public let factors: LowRankFactors

  public init(_ factors: LowRankFactors) {
    self.factors = factors
  }

  public var rows: Int { factors.rows }
  public var columns: Int { factors.columns }
  public var form: UpdateForm { .additive }
  public var lowRank: LowRankFactors? { factors }

  public func addDelta(to delta: RowBand, scale: Float) {
    MergeRows.addLowRank([factors], scale: scale, to: delta)
  }

  public func transposed() -> (any WeightUpdate)? { LowRankUpdate(factors.transposed()) }
}
