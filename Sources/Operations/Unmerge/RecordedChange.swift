import Kernels

/// The change of one tensor as the adapters and a record give it, without W0.
struct RecordedChange: Sendable {
  private let pipeline: MergePipeline
  private let element: ElementType
  /// Q, one per row or column, where it is in the record.
  private let factors: [Float]?
  /// Where D can only be had whole: the band of all rows.
  private let whole: WholeChange?

  /// - Throws: `BaseNeeded` where adapters and record together do not give the change in pieces of
  ///   `rowsPerChunk` rows.
  init(
    _ tensor: MergedTensor, factors: [Float]?, rowsPerChunk: Int, workspace: Workspace
  ) throws {
    pipeline = try tensor.pipelineWithoutBase()
    element = tensor.element
    self.factors = factors
    if pipeline.needsWholeMatrix {
      guard
        let change = pipeline.change(
          of: 0..<tensor.shape.rows, factors: factors, element: element, workspace: workspace)
      else { throw BaseNeeded() }
      whole = WholeChange(change)
    } else {
      guard rowsPerChunk % pipeline.rowGranularity == 0 else { throw BaseNeeded() }
      whole = nil
    }
  }

  /// D and Q of `rows`, in a worker's buffers; nil where the record does not fit.
  func band(_ rows: Range<Int>, _ workspace: Workspace) -> ComputedBand? {
    whole?.band(rows, element, workspace)
      ?? pipeline.change(of: rows, factors: factors, element: element, workspace: workspace)
  }
}

/// D and Q of a whole matrix.
private struct WholeChange: Sendable {
  private let columns: Int
  private let delta: [Float]
  private var scaling: (factors: [Float], axis: FactorAxis)?

  init(_ change: ComputedBand) {
    columns = change.columns
    switch change.content {
    case .additive(let band): delta = Array(band.values)
    case .scaled(let band, let factors, let axis):
      delta = Array(band.values)
      scaling = (Array(factors), axis)
    case .fused, .general: delta = []
    }
  }

  func band(_ rows: Range<Int>, _ element: ElementType, _ workspace: Workspace) -> ComputedBand {
    let elements = rows.lowerBound * columns..<rows.upperBound * columns
    let values = workspace.floats(.delta, count: elements.count)
    _ = values.update(fromContentsOf: delta[elements])
    let band = RowBand(rows: rows, columns: columns, values: values)
    var content = ComputedBand.Content.additive(band)
    if let (all, axis) = scaling {
      let needed: Range<Int> =
        switch axis {
        case .perRow: rows
        case .perColumn: 0..<columns
        case .perElement: elements
        }
      let factors = workspace.floats(.factors, count: needed.count)
      _ = factors.update(fromContentsOf: all[needed])
      content = .scaled(band, factors, axis)
    }
    return ComputedBand(
      rows: rows, columns: columns, element: element,
      stored: UnsafeRawBufferPointer(start: nil, count: 0), content: content)
  }
}
