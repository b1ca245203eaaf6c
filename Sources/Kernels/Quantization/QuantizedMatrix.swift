/// A quantized weight W, `out × in`, and products with it that never hold more of it in f32 than a tile.
///
/// Products with different rows or columns of W may run at the same time: a thread takes a range of
/// them, and every element of the result is the same however the ranges are cut.
public struct QuantizedMatrix: Sendable, Equatable {
  public enum Storage: Sendable, Equatable {
    case fourBit(FourBitTensor)
    case int8(Int8Tensor)
  }

  /// Output features.
  public let rows: Int
  /// Input features.
  public let columns: Int
  public let storage: Storage

  /// - Throws: `size` when the tensor has not `rows × columns` elements.
  public init(_ tensor: FourBitTensor, rows: Int, columns: Int) throws(QuantizationError) {
    guard tensor.elements == rows * columns else {
      throw .size(part: .codes, found: tensor.elements, expected: rows * columns)
    }
    (self.rows, self.columns, storage) = (rows, columns, .fourBit(tensor))
  }

  public init(_ tensor: Int8Tensor) {
    (rows, columns, storage) = (tensor.rows, tensor.columns, .int8(tensor))
  }

  /// Elements of W that are in f32 at one time: a tile of at most this many rows and columns.
  static let tile = (rows: 64, columns: 512)

  /// Decodes whole rows, row-major.
  ///
  /// - Parameter values: receives `range.count × columns` values.
  public func decodeRows(_ range: Range<Int>, into values: UnsafeMutableBufferPointer<Float>) {
    decode(rows: range, columns: 0..<columns, into: values)
  }

  /// Decodes the part of W in `rows` and `columns`, row-major.
  ///
  /// - Parameter values: receives `rows.count × columns.count` values.
  public func decode(
    rows: Range<Int>, columns: Range<Int>, into values: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
    precondition(columns.lowerBound >= 0 && columns.upperBound <= self.columns)
    precondition(values.count == rows.count * columns.count)
    let destination = UnsafeMutableRawBufferPointer(values)
    let rowBytes = columns.count * MemoryLayout<Float>.size
    switch storage {
    case .fourBit(let tensor) where columns.count == self.columns:
      let start = rows.lowerBound * self.columns
      tensor.decode(start..<start + values.count, as: .f32, into: destination)
    case .fourBit(let tensor):
      for (place, row) in rows.enumerated() {
        let start = row * self.columns
        tensor.decode(
          start + columns.lowerBound..<start + columns.upperBound, as: .f32,
          into: UnsafeMutableRawBufferPointer(
            rebasing: destination[place * rowBytes..<(place + 1) * rowBytes]))
      }
    case .int8(let tensor):
      tensor.codes.withUnsafeBufferPointer { codes in
        for (place, row) in rows.enumerated() {
          let start = row * self.columns
          Int8Tensor.decode(
            UnsafeBufferPointer(
              rebasing: codes[start + columns.lowerBound..<start + columns.upperBound]),
            scale: tensor.scales[row], as: .f32,
            into: UnsafeMutableRawBufferPointer(
              rebasing: destination[place * rowBytes..<(place + 1) * rowBytes]))
        }
      }
    }
  }

  /// `y = x·Wᵀ`: the layer's output for a batch of tokens.
  ///
  /// - Parameters:
  ///   - x: `tokens × in`, row-major.
  ///   - range: the rows of W, and so the columns of y, to compute; nil for all.
  ///   - y: `tokens × out`, row-major; only the columns of `range` are written.
  public func multiply(
    _ x: UnsafeBufferPointer<Float>, tokens: Int, rows range: Range<Int>? = nil,
    into y: UnsafeMutableBufferPointer<Float>,
    product: some TileProduct = SequentialTileProduct()
  ) {
    precondition(x.count == tokens * columns && y.count == tokens * rows)
    guard let y = y.baseAddress else { return }
    let range = range ?? 0..<rows
    for token in 0..<tokens {
      (y + token * rows + range.lowerBound).update(repeating: 0, count: range.count)
    }
    guard let x = x.baseAddress else { return }
    eachTile(rows: range, columns: 0..<columns) { tile, row, column in
      product.addTransposed(
        StridedMatrix(values: x + column, rows: tokens, columns: tile.columns, stride: columns),
        tile,
        to: MutableMatrixView(values: y + row, rows: tokens, columns: tile.rows, stride: rows))
    }
  }

  /// `d = g·W`: the gradient of the layer's input for a batch of tokens.
  ///
  /// - Parameters:
  ///   - g: `tokens × out`, row-major.
  ///   - range: the columns of W, and so of d, to compute; nil for all.
  ///   - d: `tokens × in`, row-major; only the columns of `range` are written.
  public func multiplyTransposed(
    _ g: UnsafeBufferPointer<Float>, tokens: Int, columns range: Range<Int>? = nil,
    into d: UnsafeMutableBufferPointer<Float>,
    product: some TileProduct = SequentialTileProduct()
  ) {
    precondition(g.count == tokens * rows && d.count == tokens * columns)
    guard let d = d.baseAddress else { return }
    let range = range ?? 0..<columns
    for token in 0..<tokens {
      (d + token * columns + range.lowerBound).update(repeating: 0, count: range.count)
    }
    guard let g = g.baseAddress else { return }
    eachTile(rows: 0..<rows, columns: range) { tile, row, column in
      product.add(
        StridedMatrix(values: g + row, rows: tokens, columns: tile.rows, stride: rows), tile,
        to: MutableMatrixView(
          values: d + column, rows: tokens, columns: tile.columns, stride: columns))
    }
  }

  /// Decodes one tile after the other, in ascending order of rows and, within them, of columns.
  private func eachTile(
    rows: Range<Int>, columns: Range<Int>,
    _ body: (StridedMatrix, _ row: Int, _ column: Int) -> Void
  ) {
    withUnsafeTemporaryAllocation(
      of: Float.self, capacity: Self.tile.rows * Self.tile.columns
    ) { scratch in
      for row in stride(from: rows.lowerBound, to: rows.upperBound, by: Self.tile.rows) {
        let height = min(Self.tile.rows, rows.upperBound - row)
        for column in stride(
          from: columns.lowerBound, to: columns.upperBound, by: Self.tile.columns)
        {
          let width = min(Self.tile.columns, columns.upperBound - column)
          let values = UnsafeMutableBufferPointer(rebasing: scratch[..<(height * width)])
          decode(rows: row..<row + height, columns: column..<column + width, into: values)
          guard let start = values.baseAddress else { continue }
          body(
            StridedMatrix(values: start, rows: height, columns: width, stride: width), row, column)
        }
      }
    }
  }
}
