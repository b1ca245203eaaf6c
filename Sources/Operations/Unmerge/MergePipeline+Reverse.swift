import Kernels

/// Undoing by arithmetic.
extension MergePipeline {
  /// Takes the changes of a band of W' away, the last one first, each in f32.
  ///
  /// - Throws: `UndoError.Reason` where W' does not tell W0.
  func reverse(_ band: RowBand, element: ElementType, workspace: Workspace) throws {
    guard case .general(let steps) = form else {
      guard let change = change(of: band.rows, element: element, workspace: workspace) else {
        throw UndoError.Reason.factorsNeedBase
      }
      return try change.reverse(on: band, weight: 1)
    }
    for step in steps.reversed() {
      switch step {
      case .none: continue
      case .update(let update, let weight):
        // A scaled change has its weight outside, an additive one inside.
        let isAdditive = update.form == .additive
        let alone = MergePipeline(
          [.update(update, weight: isAdditive ? weight : 1)], shape: shape, keepsChange: true)
        guard let change = alone.change(of: band.rows, element: element, workspace: workspace)
        else {
          throw update.dependence == .factors
            ? UndoError.Reason.factorsNeedBase : .changeNeedsBase
        }
        try change.reverse(on: band, weight: isAdditive ? 1 : Float(weight))
      case .bias(let update, let weight, _):
        var bias = Array(band.values)
        guard update.reverse(on: &bias, weight: Float(weight)) else {
          throw UndoError.Reason.changeNeedsBase
        }
        _ = band.values.update(fromContentsOf: bias)
      case .rows, .replacement: throw UndoError.Reason.changeNeedsBase
      }
    }
  }
}

extension ComputedBand {
  /// Solves `x' = x + weight·(Q·(x + D) - x)` for x.
  fileprivate func reverse(on band: RowBand, weight: Float) throws {
    switch content {
    case .fused, .general: throw UndoError.Reason.changeNeedsBase
    case .additive(let delta):
      let (values, changes) = (band.values, delta.values)
      for at in values.indices { values[at] -= changes[at] }
    case .scaled(let delta, let factors, let axis):
      for row in band.rows {
        let (values, changes) = (band[row], delta[row])
        for column in values.indices {
          let factor = factors[
            axis.index(row: row - band.rows.lowerBound, column: column, columns: band.columns)]
          let divisor = weight == 1 ? factor : 1 + weight * (factor - 1)
          guard divisor != 0 else { throw UndoError.Reason.zeroFactor }
          values[column] =
            weight == 1
            ? values[column] / factor - changes[column]
            : (values[column] - weight * factor * changes[column]) / divisor
        }
      }
    }
  }
}
