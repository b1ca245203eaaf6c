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

  func addDelta(to delta: RowBand, scale: Float) { change?.addDelta(to: delta, scale: scale) }

  func fillFactors(
    base: RowBand, delta: RowBand, factors result: UnsafeMutableBufferPointer<Float>
  ) {
    if let factors {
      for (column, factor) in factors.enumerated() { result[column] = factor }
      return
    }
    for (position, row) in base.rows.enumerated() {
      let norm = Float(squaredNorm(base[row], plus: delta[row]).squareRoot())
      result[position] = norm == 0 ? 1 : magnitude[row] / norm
    }
  }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    guard axis == .perColumn else { return self }
    var prepared = self
    prepared.factors = zip(magnitude, try norms(reading: base)).map { $1 == 0 ? 1 : $0 / $1 }
    return prepared
  }

  /// n, rounded to f32.
  func norms(reading base: any RowSource) throws -> [Float] {
    var squares = [Double](repeating: 0, count: axis == .perRow ? rows : columns)
    let step = max(1, (1 << 16) / max(columns, 1))
    var (weight, delta) = ([Float](repeating: 0, count: step * columns), [Float]())
    delta = weight
    for start in stride(from: 0, to: rows, by: step) {
      let range = start..<min(start + step, rows)
      try weight.withUnsafeMutableBufferPointer { weight in
        try delta.withUnsafeMutableBufferPointer { delta in
          let base_ = RowBand(rows: range, columns: columns, values: weight)
          let change_ = RowBand(rows: range, columns: columns, values: delta)
          try base.read(into: base_)
          delta.update(repeating: 0)
          addDelta(to: change_, scale: 1)
          for row in range {
            if axis == .perRow {
              squares[row] = squaredNorm(base_[row], plus: change_[row])
            } else {
              for column in 0..<columns {
                let value = Double(base_[row][column] + change_[row][column])
                squares[column] += value * value
              }
            }
          }
        }
      }
    }
    return squares.map { Float($0.squareRoot()) }
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
