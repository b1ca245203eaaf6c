/// `W' = W + D` where only some elements of D are not zero.
struct SparseElements: WeightUpdate {
  let rows: Int
  let columns: Int
  /// Elements by row; those of row i are `starts[i]..<starts[i + 1]`. One that occurs twice is added
  /// twice, in the order in which it was given.
  private let starts: [Int]
  private let positions: [Int]
  private let values: [Float]

  /// - Parameter places: row and column of each value, in range.
  init(rows: Int, columns: Int, places: [(row: Int, column: Int)], values: [Float]) {
    precondition(places.count == values.count)
    var starts = [Int](repeating: 0, count: rows + 1)
    for place in places { starts[place.row + 1] += 1 }
    for row in 0..<rows { starts[row + 1] += starts[row] }
    var next = starts
    var positions = [Int](repeating: 0, count: values.count)
    var sorted = [Float](repeating: 0, count: values.count)
    for (place, value) in zip(places, values) {
      positions[next[place.row]] = place.column
      sorted[next[place.row]] = value
      next[place.row] += 1
    }
    (self.rows, self.columns) = (rows, columns)
    (self.starts, self.positions, self.values) = (starts, positions, sorted)
  }

  var form: UpdateForm { .additive }

  func addDelta(to delta: RowBand, scale: Float) {
    for row in delta.rows {
      let target = delta[row]
      for index in starts[row]..<starts[row + 1] {
        target[positions[index]].addProduct(scale, values[index])
      }
    }
  }

  func transposed() -> (any WeightUpdate)? {
    var places: [(row: Int, column: Int)] = []
    for row in 0..<rows {
      for index in starts[row]..<starts[row + 1] { places.append((positions[index], row)) }
    }
    return SparseElements(rows: columns, columns: rows, places: places, values: values)
  }
}
