/// `W' = diag(m/n)·(W + D)`, n the norms of the rows of `W0 + D`, taken in f64 over the f32 sums; or
/// the same with columns. A row of zeros keeps its factor 1.
struct MagnitudeUpdate: WeightUpdate {
  /// m, one per row or column.
  let magnitude: [Float]
  /// An additive update; nil for D = 0.
  let change: (any WeightUpdate)?
  let rows: Int
  let columns: Int
  let axis: FactorAxis
  /// Q = m/n for `.perColumn`, known once the base has been read.
  private var factors: [Float]?

  init(
    magnitude: [Float], change: (any WeightUpdate)?, rows: Int, columns: Int, axis: FactorAxis
  ) {
    self.magnitude = magnitude
    self.change = change
    (self.rows, self.columns, self.axis) = (rows, columns, axis)
  }

  var form: UpdateForm { .scaled(axis) }
  var dependence: BaseDependence { change?.dependence == .change ? .change : .factors }

  func addDelta(to delta: RowBand, scale: Float) { change?.addDelta(to: delta, scale: scale) }

  func fillFactors(
    base: RowBand, delta: RowBand, factors result: UnsafeMutableBufferPointer<Float>
  ) {
    if let factors {
      _ = result.update(from: factors)
      return
    }
    withSums(base, delta) { row, sums in
      let norm = VectorArithmetic.norm(sums)
      result[row - base.rows.lowerBound] = norm == 0 ? 1 : magnitude[row] / norm
    }
  }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    guard axis == .perColumn else { return self }
    var prepared = self
    prepared.factors = zip(magnitude, try norms(reading: base)).map { $1 == 0 ? 1 : $0 / $1 }
    return prepared
  }

  /// n, in f32.
  func norms(reading base: any RowSource) throws -> [Float] {
    var squares = [Double](repeating: 0, count: axis == .perRow ? rows : columns)
    let step = max(1, (1 << 16) / max(columns, 1))
    var weight = [Float](repeating: 0, count: step * columns)
    var change = weight
    for start in stride(from: 0, to: rows, by: step) {
      let range = start..<min(start + step, rows)
      try weight.withUnsafeMutableBufferPointer { weight in
        try change.withUnsafeMutableBufferPointer { change in
          let band = RowBand(rows: range, columns: columns, values: weight)
          let delta = RowBand(rows: range, columns: columns, values: change)
          try base.read(into: band)
          change.update(repeating: 0)
          addDelta(to: delta, scale: 1)
          withSums(band, delta) { row, sums in
            if axis == .perRow {
              squares[row] = VectorArithmetic.sumOfSquares(sums)
            } else {
              squares.withUnsafeMutableBufferPointer {
                VectorArithmetic.addSquares(of: sums, to: $0)
              }
            }
          }
        }
      }
    }
    return squares.map { Float($0.squareRoot()) }
  }

  /// The norms of the rows of `weight`: what m starts from.
  static func norms(of weight: any RowSource) throws -> [Float] {
    try MagnitudeUpdate(
      magnitude: [], change: nil, rows: weight.rows, columns: weight.columns, axis: .perRow
    ).norms(reading: weight)
  }

  /// Calls `body` with each row of `W0 + D`, summed in f32.
  private func withSums(
    _ base: RowBand, _ delta: RowBand, _ body: (Int, UnsafeBufferPointer<Float>) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { sums in
      for row in base.rows {
        let (weights, changes) = (base[row], delta[row])
        for column in sums.indices {
          sums.initializeElement(at: column, to: weights[column] + changes[column])
        }
        body(row, UnsafeBufferPointer(sums))
      }
    }
  }

  func transposed() -> (any WeightUpdate)? {
    var turned: (any WeightUpdate)?
    if let change {
      guard let transposed = change.transposed() else { return nil }
      turned = transposed
    }
    return MagnitudeUpdate(
      magnitude: magnitude, change: turned, rows: columns, columns: rows,
      axis: axis == .perRow ? .perColumn : .perRow)
  }
}
