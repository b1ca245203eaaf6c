import Kernels
import Safetensors

/// Rows of a tensor, in the element type that the merge stores.
protocol StoredRows: Sendable {
  /// Bytes of one row as this source stores it.
  var rowBytes: Int { get }
  /// Fills `buffer` with `rows`.
  func read(
    _ rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer, workspace: Workspace
  ) throws
}

/// Rows of a tensor in a file, of the wanted element type.
struct FileRows: StoredRows {
  let file: InputFile
  let offset: Int
  let rowBytes: Int

  func read(
    _ rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer, workspace: Workspace
  ) throws {
    try file.read(into: buffer, at: offset + rows.lowerBound * rowBytes)
  }
}

/// Rows of another element type: widened, and rounded to the wanted one. Not nested: both would use the same
/// buffers, and round twice.
struct ConvertedRows: StoredRows {
  let rows: any StoredRows
  let from: ElementType
  let to: ElementType
  let columns: Int

  var rowBytes: Int { columns * to.size }

  /// The same rows in `element`, without the rounding to `to`.
  func converting(to element: ElementType) -> any StoredRows {
    from == element
      ? rows : ConvertedRows(rows: rows, from: from, to: element, columns: columns)
  }

  func read(
    _ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer, workspace: Workspace
  ) throws {
    let stored = workspace.bytes(.replacement, count: range.count * rows.rowBytes)
    try rows.read(range, into: stored, workspace: workspace)
    let widened = workspace.floats(.converted, count: range.count * columns)
    from.widen(from: UnsafeRawBufferPointer(stored), to: widened)
    to.round(from: UnsafeBufferPointer(widened), to: buffer)
  }
}

/// Rows of zeros: the bias that a layer does not have.
struct ZeroRows: StoredRows {
  let rowBytes: Int

  func read(
    _ rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer, workspace: Workspace
  ) throws {
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
  }
}

/// Stored rows as the methods read them: in f32.
struct FloatRows: RowSource {
  let stored: any StoredRows
  let shape: MergedTensor.Shape
  let element: ElementType

  var rows: Int { shape.rows }
  var columns: Int { shape.columns }

  func read(into band: RowBand) throws {
    let workspace = Workspace()
    let bytesPerRow = max(1, columns * element.size)
    let height = max(1, (1 << 20) / bytesPerRow)
    for start in stride(from: band.rows.lowerBound, to: band.rows.upperBound, by: height) {
      let rows = start..<min(start + height, band.rows.upperBound)
      let bytes = workspace.bytes(.base, count: rows.count * bytesPerRow)
      try stored.read(rows, into: bytes, workspace: workspace)
      let values = UnsafeMutableBufferPointer(
        rebasing: band.values[
          (rows.lowerBound - band.rows.lowerBound)
            * columns..<(rows.upperBound
            - band.rows.lowerBound) * columns])
      element.widen(from: UnsafeRawBufferPointer(bytes), to: values)
    }
  }
}
