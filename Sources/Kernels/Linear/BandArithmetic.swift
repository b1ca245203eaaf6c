extension RowBand {
  /// `W = W + D`, an element whose D is zero as it is. What `MergeRows.storeAdditive` does before it
  /// rounds.
  ///
  /// - Parameter delta: D on the same rows.
  public func add(_ delta: RowBand) {
    precondition(delta.rows == rows && delta.columns == columns)
    let (weights, changes) = (values, delta.values)
    for at in weights.indices {
      weights[at] = changes[at] == 0 ? weights[at] : weights[at] + changes[at]
    }
  }

  /// `W = Q·W`. What `MergeRows.storeScaled` does before it rounds.
  ///
  /// - Parameter factors: Q: one per row of the band, one per column, or a full band, as `axis` says.
  public func multiply(by factors: UnsafeBufferPointer<Float>, along axis: FactorAxis) {
    for row in rows {
      let weights = self[row]
      switch axis {
      case .perRow:
        VectorArithmetic.scale(weights, by: factors[row - rows.lowerBound])
      case .perColumn:
        for column in weights.indices { weights[column] *= factors[column] }
      case .perElement:
        let first = (row - rows.lowerBound) * columns
        for column in weights.indices { weights[column] *= factors[first + column] }
      }
    }
  }

  /// Number of factors that `axis` asks for on this band.
  public func factorCount(along axis: FactorAxis) -> Int {
    switch axis {
    case .perRow: rows.count
    case .perColumn: columns
    case .perElement: rows.count * columns
    }
  }
}
