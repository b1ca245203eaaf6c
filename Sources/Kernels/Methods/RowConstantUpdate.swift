/// `W' = W + D`, D constant along each row: `D[i, j] = values[i]`.
struct RowConstantUpdate: WeightUpdate {
  let values: [Float]
  let columns: Int

  init(_ values: [Float], columns: Int) {
    self.values = values
    self.columns = columns
  }

  var rows: Int { values.count }
  var form: UpdateForm { .additive }

  func addDelta(to delta: RowBand, scale: Float) {
    for row in delta.rows {
      let change = scale * values[row]
      for column in delta[row].indices { delta[row][column] += change }
    }
  }
}
