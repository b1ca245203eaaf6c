import Kernels

extension MergePipeline {
  /// How W' tells of W0, for somebody who has the adapters and not the base.
  enum Reversal: Sendable, Equatable {
    /// W' = W + D.
    case additive
    /// W' = Q∘(W + D); Q follows from the adapters, or does not.
    case scaled(FactorAxis, factorsKnown: Bool)
    /// In another way.
    case general
  }

  /// - Parameter readsBase: the updates have read W0 to prepare themselves.
  func reversal(readsBase: Bool) -> Reversal {
    switch form {
    case .fused, .additive: return readsBase ? .general : .additive
    case .scaled(let update, let axis):
      switch update.dependence {
      case .none: return readsBase ? .general : .scaled(axis, factorsKnown: true)
      case .factors where axis != .perElement: return .scaled(axis, factorsKnown: false)
      case .factors, .change: return .general
      }
    case .general: return .general
    }
  }

  /// D and Q of `rows` without W0; nil where they are not to be had. The result points into `workspace`;
  /// its `stored` is empty.
  ///
  /// - Parameter factors: Q, one per row or column of the matrix, where it is known.
  func change(
    of rows: Range<Int>, factors known: [Float]? = nil, element: ElementType, workspace: Workspace
  ) -> ComputedBand? {
    let count = rows.count * shape.columns
    func band(_ purpose: Workspace.Buffer) -> RowBand {
      RowBand(
        rows: rows, columns: shape.columns, values: workspace.floats(purpose, count: count))
    }
    let content: ComputedBand.Content
    switch form {
    case .general: return nil
    case .fused(let terms):
      content = .additive(sum(terms.map { (LowRankUpdate($0), 1) }, into: band(.delta)))
    case .additive(let updates):
      content = .additive(sum(updates, into: band(.delta)))
    case .scaled(let update, let axis):
      let delta = sum([(update, 1)], into: band(.delta))
      let factors = workspace.floats(.factors, count: axis.count(delta))
      if let known {
        let needed = axis == .perRow ? rows : 0..<shape.columns
        guard axis != .perElement, known.count >= needed.upperBound else { return nil }
        _ = factors.update(fromContentsOf: known[needed])
      } else {
        guard update.dependence == .none else { return nil }
        let base = band(.widened)
        base.values.update(repeating: 0)
        update.fillFactors(base: base, delta: delta, factors: factors)
      }
      content = .scaled(delta, factors, axis)
    }
    return ComputedBand(
      rows: rows, columns: shape.columns, element: element,
      stored: UnsafeRawBufferPointer(start: nil, count: 0), content: content)
  }
}

/// Some change reads W0, and there is none.
struct BaseNeeded: Error {}

/// The rows of a base that nobody has.
private struct NoRows: RowSource {
  let rows: Int
  let columns: Int

  func read(into band: RowBand) throws { throw BaseNeeded() }
}

extension MergedTensor {
  /// How the tensor is changed, for somebody who does not have W0.
  ///
  /// - Throws: `BaseNeeded` where a change cannot be known without.
  func pipelineWithoutBase() throws -> MergePipeline {
    let base = NoRows(rows: shape.rows, columns: shape.columns)
    let steps = try changes.map { change in
      let step = try change.loaded(loaders, shape: shape)
      // Others are only good for D as they are.
      guard case .update(let update, _) = step, update.dependence == .none else { return step }
      return try step.prepared(reading: base)
    }
    return MergePipeline(steps, shape: shape, keepsChange: true)
  }
}
