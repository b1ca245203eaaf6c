/// `W'_ij = W_ij + scale·b_i`: every row moves by a constant, as in 1LoRA.
public struct RowConstantUpdate: WeightUpdate {
  /// b, one value per row.
  public let values: [Float]
  public let columns: Int
  public let scale: Float

  public init(_ values: [Float], columns: Int, scale: Float = 1) {
    (self.values, self.columns, self.scale) = (values, columns, scale)
  }

  public var rows: Int { values.count }
  public var form: UpdateForm { .additive }

  public var lowRank: LowRankFactors? { factors }

  /// Rank 1, with a row of ones for A: the product is b itself, to the bit.
  private var factors: LowRankFactors {
    LowRankFactors(
      rank: 1, rows: rows, columns: columns, b: values, a: [Float](repeating: 1, count: columns),
      scale: scale)
  }

  public func addDelta(to delta: RowBand, scale: Float) {
    MergeRows.addLowRank([factors], scale: scale, to: delta)
  }

  public func transposed() -> (any WeightUpdate)? { LowRankUpdate(factors.transposed()) }
}
