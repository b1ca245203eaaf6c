/// `W' = W + scale·D` where only some rows of D are not zero.
public struct SparseRowsUpdate: WeightUpdate {
  public let rows: Int
  public let columns: Int
  /// The rows that change. One that occurs twice is changed twice, in this order.
  public let indices: [Int]
  /// What is added, `indices.count × columns`, row-major.
  public let values: [Float]
  public let scale: Float

  public init(rows: Int, columns: Int, indices: [Int], values: [Float], scale: Float = 1) {
    precondition(values.count == indices.count * columns)
    precondition(indices.allSatisfy { (0..<rows).contains($0) })
    (self.rows, self.columns, self.indices) = (rows, columns, indices)
    (self.values, self.scale) = (values, scale)
  }

  public var form: UpdateForm { .additive }

  public func addDelta(to delta: RowBand, scale: Float) {
    values.withUnsafeBufferPointer { values in
      for (place, row) in indices.enumerated() where delta.rows.contains(row) {
        VectorArithmetic.add(
          UnsafeBufferPointer(rebasing: values[place * columns..<(place + 1) * columns]),
          times: scale * self.scale, to: delta[row])
      }
    }
  }

  public func transposed() -> (any WeightUpdate)? {
    SparseColumnsUpdate(
      rows: columns, columns: rows, indices: indices,
      values: transpose(values, rows: indices.count, columns: columns), scale: scale)
  }
}

/// `W' = W + scale·D` where only some columns of D are not zero.
public struct SparseColumnsUpdate: WeightUpdate {
  public let rows: Int
  public let columns: Int
  /// The columns that change. One that occurs twice is changed twice, in this order.
  public let indices: [Int]
  /// What is added, `rows × indices.count`, row-major.
  public let values: [Float]
  public let scale: Float

  public init(rows: Int, columns: Int, indices: [Int], values: [Float], scale: Float = 1) {
    precondition(values.count == rows * indices.count)
    precondition(indices.allSatisfy { (0..<columns).contains($0) })
    (self.rows, self.columns, self.indices) = (rows, columns, indices)
    (self.values, self.scale) = (values, scale)
  }

  public var form: UpdateForm { .additive }

  public func addDelta(to delta: RowBand, scale: Float) {
    for row in delta.rows {
      let target = delta[row]
      for (place, column) in indices.enumerated() {
        target[column].addProduct(scale * self.scale, values[row * indices.count + place])
      }
    }
  }

  public func transposed() -> (any WeightUpdate)? {
    SparseRowsUpdate(
      rows: columns, columns: rows, indices: indices,
      values: transpose(values, rows: rows, columns: indices.count), scale: scale)
  }
}
