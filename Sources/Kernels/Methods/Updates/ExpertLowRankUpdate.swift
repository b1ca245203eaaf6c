/// A low-rank change of every matrix in a stack `experts × rows × columns`, seen as one matrix of
/// `experts·rows × columns`.
public struct ExpertLowRankUpdate: WeightUpdate {
  /// The change of each expert, in the order of the stack; all of one size.
  public let experts: [LowRankFactors]

  /// - Precondition: `experts` is not empty.
  public init(experts: [LowRankFactors]) {
    precondition(!experts.isEmpty)
    self.experts = experts
  }

  private var rowsEach: Int { experts[0].rows }
  public var rows: Int { experts.count * rowsEach }
  public var columns: Int { experts[0].columns }
  public var form: UpdateForm { .additive }

  public func addDelta(to delta: RowBand, scale: Float) {
    var row = delta.rows.lowerBound
    while row < delta.rows.upperBound {
      let expert = row / rowsEach
      let start = expert * rowsEach
      let end = min(start + rowsEach, delta.rows.upperBound)
      let offset = (row - delta.rows.lowerBound) * columns
      let values = UnsafeMutableBufferPointer(
        rebasing: delta.values[offset..<offset + (end - row) * columns])
      MergeRows.addLowRank(
        [experts[expert]], scale: scale,
        to: RowBand(rows: row - start..<end - start, columns: columns, values: values))
      row = end
    }
  }
}
