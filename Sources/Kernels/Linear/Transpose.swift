/// `values` (`rows × columns`, row-major) transposed to `columns × rows`.
public func transpose(_ values: [Float], rows: Int, columns: Int) -> [Float] {
  precondition(values.count == rows * columns)
  // Squares that stay in the cache while they are read by rows and written by columns.
  let side = 32
  return [Float](unsafeUninitializedCapacity: values.count) { result, count in
    values.withUnsafeBufferPointer { values in
      for firstRow in stride(from: 0, to: rows, by: side) {
        for firstColumn in stride(from: 0, to: columns, by: side) {
          for row in firstRow..<min(firstRow + side, rows) {
            for column in firstColumn..<min(firstColumn + side, columns) {
              result.initializeElement(at: column * rows + row, to: values[row * columns + column])
            }
          }
        }
      }
    }
    count = values.count
  }
}
