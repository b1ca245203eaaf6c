/// `W' = W + scale·D` with D given whole, in f32.
public struct DenseUpdate: WeightUpdate {
  public let rows: Int
  public let columns: Int
  /// D, `rows × columns`, row-major.
  public let values: [Float]
  public let scale: Float

  public init(rows: Int, columns: Int, values: [Float], scale: Float = 1) {
    precondition(values.count == rows * columns)
    (self.rows, self.columns, self.values, self.scale) = (rows, columns, values, scale)
  }

  public var form: UpdateForm { .additive }

  public func addDelta(to delta: RowBand, scale: Float) {
    let band = delta.rows.lowerBound * columns..<delta.rows.upperBound * columns
    values.withUnsafeBufferPointer {
      VectorArithmetic.add(
        UnsafeBufferPointer(rebasing: $0[band]), times: scale * self.scale, to: delta.values)
    }
  }

  public func transposed() -> (any WeightUpdate)? {
    DenseUpdate(
      rows: columns, columns: rows, values: transpose(values, rows: rows, columns: columns),
      scale: scale)
  }
}
