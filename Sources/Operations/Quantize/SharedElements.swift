import Kernels
import Synchronization

/// The elements of a weight, row-major, which several output tensors are computed from: opened for the
/// first of those that are being written, let go after the last.
final class SharedElements: Sendable {
  let element: ElementType
  private let source: any TensorSource
  private let users = Mutex(0)

  init(_ source: any TensorSource, element: ElementType) {
    (self.source, self.element) = (source, element)
  }

  func open(_ workspace: Workspace) throws {
    try users.withLock { users in
      if users == 0 { try source.open(workspace) }
      users += 1
    }
  }

  func close() throws {
    try users.withLock { users in
      users -= 1
      if users == 0 { try source.close(checksum: 0) }
    }
  }

  /// The elements `range` as they are stored; valid until `workspace` gives the same buffer again.
  func read(
    _ range: Range<Int>, workspace: Workspace, into buffer: Workspace.Buffer = .elements
  ) throws -> UnsafeRawBufferPointer {
    let bytes = workspace.bytes(buffer, count: range.count * element.size)
    try source.fill(
      bytes, range: range.lowerBound * element.size..<range.upperBound * element.size,
      workspace: workspace)
    return UnsafeRawBufferPointer(bytes)
  }
}

/// A matrix that is stored `columns × rows`, transposed in memory while it is open.
final class TransposedTensor: TensorSource {
  private let stored: any TensorSource
  private let element: ElementType
  /// Of the transposed matrix.
  private let rows: Int
  private let columns: Int
  private let held = Mutex<[UInt8]>([])

  /// - Parameter stored: the bytes of a `columns × rows` matrix.
  init(_ stored: any TensorSource, element: ElementType, rows: Int, columns: Int) {
    (self.stored, self.element) = (stored, element)
    (self.rows, self.columns) = (rows, columns)
  }

  func open(_ workspace: Workspace) throws {
    try stored.open(workspace)
    var bytes = [UInt8](repeating: 0, count: rows * columns * element.size)
    try bytes.withUnsafeMutableBytes {
      try stored.fill($0, range: 0..<$0.count, workspace: workspace)
    }
    let transposed = Self.transposed(bytes, rows: columns, columns: rows, size: element.size)
    held.withLock { $0 = transposed }
  }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    held.withLock { $0 }.withUnsafeBytes {
      output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range]))
    }
  }

  func close(checksum: UInt32) throws {
    held.withLock { $0 = [] }
    try stored.close(checksum: 0)
  }

  /// A `rows × columns` matrix of elements of `size` bytes as `columns × rows`.
  static func transposed(_ bytes: [UInt8], rows: Int, columns: Int, size: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: bytes.count) { result, count in
      count = bytes.count
      bytes.withUnsafeBytes { from in
        let to = UnsafeMutableRawBufferPointer(result)
        size == 4
          ? move(from, to, rows, columns, UInt32.self) : move(from, to, rows, columns, UInt16.self)
      }
    }
  }

  private static func move<Word: FixedWidthInteger>(
    _ from: UnsafeRawBufferPointer, _ to: UnsafeMutableRawBufferPointer, _ rows: Int,
    _ columns: Int, _: Word.Type
  ) {
    let size = MemoryLayout<Word>.size
    // Squares that stay in the cache while they are read by rows and written by columns.
    let side = 32
    for top in stride(from: 0, to: rows, by: side) {
      for left in stride(from: 0, to: columns, by: side) {
        for row in top..<min(top + side, rows) {
          for column in left..<min(left + side, columns) {
            to.storeBytes(
              of: from.loadUnaligned(
                fromByteOffset: (row * columns + column) * size, as: Word.self),
              toByteOffset: (column * rows + row) * size, as: Word.self)
          }
        }
      }
    }
  }
}
