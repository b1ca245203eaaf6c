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
    let rowBytes = columns * element.size
    let skipped = (run.lowerBound - rows.lowerBound) * rowBytes
    let base = UnsafeRawBufferPointer(rebasing: stored[skipped..<skipped + run.count * rowBytes])
    let output = UnsafeMutableRawBufferPointer(rebasing: output[..<(run.count * rowBytes)])
    switch content {
    case .fused(let terms):
      MergeRows.mergeLowRank(
        terms, rows: run, columns: columns, stored: base, element: element, into: output,
        statistics: statistics)
    case .additive(let delta):
      MergeRows.storeAdditive(
        delta: part(run, of: delta), stored: base, element: element, into: output,
        statistics: statistics)
    case .scaled(let delta, let values, let axis):
      MergeRows.storeScaled(
        delta: part(run, of: delta), factors: factors(values, axis, of: run), axis: axis,
        stored: base, element: element, into: output, statistics: statistics)
    case .general(let values):
      MergeRows.storeGeneral(
        part(run, of: values), stored: base, element: element, into: output,
        statistics: statistics)
    }
  }

  /// The rows `run`, some of the band's, as they were changed; nil where W' was given whole, or D was
  /// not kept.
  ///
  /// - Parameter merged: the same rows as they were stored.
  func changed(_ run: Range<Int>, merged: UnsafeRawBufferPointer) -> ChangedRows? {
    switch content {
    case .fused, .general: return nil
    case .additive(let delta):
      return ChangedRows(delta: part(run, of: delta), element: element, merged: merged)
    case .scaled(let delta, let values, let axis):
      return ChangedRows(
        delta: part(run, of: delta), factors: (factors(values, axis, of: run), axis),
        element: element, merged: merged)
    }
  }

  private func elements(of run: Range<Int>) -> Range<Int> {
    let skipped = run.lowerBound - rows.lowerBound
    return skipped * columns..<(skipped + run.count) * columns
  }

  private func part(_ run: Range<Int>, of band: RowBand) -> RowBand {
    RowBand(
      rows: run, columns: columns,
      values: UnsafeMutableBufferPointer(rebasing: band.values[elements(of: run)]))
  }

  private func factors(
    _ factors: UnsafeMutableBufferPointer<Float>, _ axis: FactorAxis, of run: Range<Int>
  ) -> UnsafeBufferPointer<Float> {
    let wanted: Range<Int> =
      switch axis {
      case .perRow: run.lowerBound - rows.lowerBound..<run.upperBound - rows.lowerBound
      case .perColumn: 0..<columns
      case .perElement: elements(of: run)
      }
    return UnsafeBufferPointer(rebasing: factors[wanted])
  }
}
