extension RowSource {
  /// Calls `body` with one row of W0 after the other, reading a few at a time.
  func forEachRow(_ body: (_ row: Int, _ values: UnsafeBufferPointer<Float>) -> Void) throws {
    let step = max(1, (1 << 16) / max(columns, 1))
    var memory = [Float](repeating: 0, count: min(step, rows) * columns)
    try memory.withUnsafeMutableBufferPointer { memory in
      for start in stride(from: 0, to: rows, by: step) {
        let range = start..<min(start + step, rows)
        let band = RowBand(rows: range, columns: columns, values: memory)
        try read(into: band)
        for row in range { body(row, UnsafeBufferPointer(band[row])) }
      }
    }
  }

  /// W0·v, each element summed in f64 and rounded once.
  func rowProducts(with vector: [Float]) throws -> [Float] {
    var result = [Float](repeating: 0, count: rows)
    try vector.withUnsafeBufferPointer { vector in
      try forEachRow { row, values in result[row] = Float(VectorArithmetic.dot(values, vector)) }
    }
    return result
  }

  /// Lᵀ·W0 for L of `rows × rank`, row-major: `rank × columns`, summed in f64 in ascending order of rows.
  func products(withTransposed left: [Double], rank: Int) throws -> DenseMatrix {
    precondition(left.count == rows * rank)
    var result = DenseMatrix(rows: rank, columns: columns)
    try result.values.withUnsafeMutableBufferPointer { result in
      try forEachRow { row, values in
        for k in 0..<rank {
          let factor = left[row * rank + k]
          let target = UnsafeMutableBufferPointer(
            rebasing: result[k * columns..<(k + 1) * columns])
          for column in values.indices { target[column] += factor * Double(values[column]) }
        }
      }
    }
    return result
  }
}
