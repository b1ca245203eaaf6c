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
}
