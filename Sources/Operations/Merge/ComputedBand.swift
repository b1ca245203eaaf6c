import Kernels

/// Rows of W', computed and not yet stored.
struct ComputedBand {
  enum Content {
    case fused([LowRankFactors])
    case additive(RowBand)
    case scaled(RowBand, UnsafeMutableBufferPointer<Float>, FactorAxis)
    case general(RowBand)
  }

  let rows: Range<Int>
  let columns: Int
  let element: ElementType
  /// Stored W0 on `rows`.
  let stored: UnsafeRawBufferPointer
  var content: Content

  /// Rounds and stores `run`, some of the band's rows, with one statistics entry per row of it.
  func store(
    _ run: Range<Int>, into output: UnsafeMutableRawBufferPointer,
    statistics: UnsafeMutableBufferPointer<RowStatistics>
  ) {
    let skipped = run.lowerBound - rows.lowerBound
    let rowBytes = columns * element.size
    let base = UnsafeRawBufferPointer(
      rebasing: stored[skipped * rowBytes..<(skipped + run.count) * rowBytes])
    let output = UnsafeMutableRawBufferPointer(rebasing: output[..<(run.count * rowBytes)])
    let elements = skipped * columns..<(skipped + run.count) * columns
    func part(_ band: RowBand) -> RowBand {
      RowBand(
        rows: run, columns: columns,
        values: UnsafeMutableBufferPointer(rebasing: band.values[elements]))
    }
    switch content {
    case .fused(let terms):
      MergeRows.mergeLowRank(
        terms, rows: run, columns: columns, stored: base, element: element, into: output,
        statistics: statistics)
    case .additive(let delta):
      MergeRows.storeAdditive(
        delta: part(delta), stored: base, element: element, into: output, statistics: statistics)
    case .scaled(let delta, let factors, let axis):
      let wanted: Range<Int> =
        switch axis {
        case .perRow: skipped..<skipped + run.count
        case .perColumn: 0..<columns
        case .perElement: elements
        }
      MergeRows.storeScaled(
        delta: part(delta), factors: UnsafeBufferPointer(rebasing: factors[wanted]), axis: axis,
        stored: base, element: element, into: output, statistics: statistics)
    case .general(let values):
      MergeRows.storeGeneral(
        part(values), stored: base, element: element, into: output, statistics: statistics)
    }
  }
}
