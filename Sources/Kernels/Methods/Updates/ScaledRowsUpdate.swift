/// `W' = diag(factors)·(W + D)`, D the change of an additive update, or none.
struct ScaledRowsUpdate: WeightUpdate {
  /// One factor per row of the matrix in the papers' orientation.
  let factors: [Float]
  let change: (any WeightUpdate)?
  let rows: Int
  let columns: Int
  private let axis: FactorAxis

  init(factors: [Float], change: any WeightUpdate) {
    self.init(
      factors: factors, change: change, rows: change.rows, columns: change.columns, axis: .perRow)
  }

  init(factors: [Float], columns: Int) {
    self.init(factors: factors, change: nil, rows: factors.count, columns: columns, axis: .perRow)
  }

  private init(
    factors: [Float], change: (any WeightUpdate)?, rows: Int, columns: Int, axis: FactorAxis
  ) {
    self.factors = factors
    self.change = change
    (self.rows, self.columns, self.axis) = (rows, columns, axis)
  }

  var form: UpdateForm { .scaled(axis) }
  var dependence: BaseDependence { change?.dependence ?? .none }

  func addDelta(to delta: RowBand, scale: Float) { change?.addDelta(to: delta, scale: scale) }

  func fillFactors(
    base: RowBand, delta: RowBand, factors result: UnsafeMutableBufferPointer<Float>
  ) {
    let needed = axis == .perRow ? delta.rows : 0..<columns
    for (position, index) in needed.enumerated() { result[position] = factors[index] }
  }

  func transposed() -> (any WeightUpdate)? {
    var change: (any WeightUpdate)?
    if let own = self.change {
      guard let transposed = own.transposed() else { return nil }
      change = transposed
    }
    return ScaledRowsUpdate(
      factors: factors, change: change, rows: columns, columns: rows,
      axis: axis == .perRow ? .perColumn : .perRow)
  }

  /// `W = W'/factors − D`; nil where a factor is 0.
  func inverse() -> (any WeightUpdate)? { factors.contains(0) ? nil : Unscaled(update: self) }

  private struct Unscaled: WeightUpdate {
    let update: ScaledRowsUpdate

    var rows: Int { update.rows }
    var columns: Int { update.columns }
    var form: UpdateForm { .general }

    func transform(_ band: RowBand, base: RowBand) {
      for row in band.rows {
        let values = band[row]
        for column in values.indices {
          values[column] /= update.factors[update.axis == .perRow ? row : column]
        }
      }
      withUnsafeTemporaryAllocation(of: Float.self, capacity: band.values.count) { change in
        change.initialize(repeating: 0)
        update.addDelta(
          to: RowBand(rows: band.rows, columns: columns, values: change), scale: 1)
        for (index, value) in change.enumerated() { band.values[index] -= value }
      }
    }

    func transposed() -> (any WeightUpdate)? { update.transposed()?.inverse() }
    func inverse() -> (any WeightUpdate)? { update }
  }
}
