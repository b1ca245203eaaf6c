import Foundation

/// A matrix in memory that somebody else owns: `rows × columns`, with any strides, so that a
/// transpose or a block is a view too.
public struct MatrixView<Scalar: TrainingScalar>: @unchecked Sendable {
  public let start: UnsafeMutablePointer<Scalar>
  public let rows: Int
  public let columns: Int
  /// Elements from one row to the next.
  public let rowStride: Int
  /// Elements from one column to the next: 1 for a matrix stored row by row.
  public let columnStride: Int

  public init(
    _ start: UnsafeMutablePointer<Scalar>, rows: Int, columns: Int, rowStride: Int? = nil,
    columnStride: Int = 1
  ) {
    self.start = start
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride ?? columns
    self.columnStride = columnStride
  }

  /// The matrix in row-major `values`, `rows × columns`.
  ///
  /// - Precondition: `values` holds `rows · columns` elements.
  public init(_ values: UnsafeMutableBufferPointer<Scalar>, rows: Int, columns: Int) {
    precondition(values.count >= rows * columns)
    // An empty buffer may have no address; a view of no elements never reads it.
    self.init(
      values.baseAddress
        ?? UnsafeMutablePointer(bitPattern: MemoryLayout<Scalar>.alignment).unsafelyUnwrapped,
      rows: rows, columns: columns)
  }

  /// Row `row` of a matrix stored row by row.
  public subscript(row: Int) -> Row<Scalar> {
    assert(columnStride == 1 && row >= 0 && row < rows)
    return Row(start: start + row * rowStride, count: columns)
  }

  public subscript(row: Int, column: Int) -> Scalar {
    get {
      assert(row >= 0 && row < rows && column >= 0 && column < columns)
      return start[row * rowStride + column * columnStride]
    }
    nonmutating set {
      assert(row >= 0 && row < rows && column >= 0 && column < columns)
      start[row * rowStride + column * columnStride] = newValue
    }
  }

  public var transposed: MatrixView {
    MatrixView(
      start, rows: columns, columns: rows, rowStride: columnStride, columnStride: rowStride)
  }

  /// The rows `range`.
  public func rows(_ range: Range<Int>) -> MatrixView {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    return MatrixView(
      start + range.lowerBound * rowStride, rows: range.count, columns: columns,
      rowStride: rowStride, columnStride: columnStride)
  }

  /// The columns `range`.
  public func columns(_ range: Range<Int>) -> MatrixView {
    precondition(range.lowerBound >= 0 && range.upperBound <= columns)
    return MatrixView(
      start + range.lowerBound * columnStride, rows: rows, columns: range.count,
      rowStride: rowStride, columnStride: columnStride)
  }

  public func fill(_ value: Scalar) {
    for row in 0..<rows { Scalar.fill(self[row], with: value) }
  }

  /// Copies a matrix of the same shape, with any strides, into this one, stored row by row.
  public func copy(_ other: MatrixView) {
    precondition(rows == other.rows && columns == other.columns)
    for row in 0..<rows {
      if other.columnStride == 1 {
        _ = self[row].update(fromContentsOf: other[row])
      } else {
        Scalar.gather(
          other.start + row * other.rowStride, step: other.columnStride, into: self[row])
      }
    }
  }
}

/// Memory for scalars, zeroed at first: pages that are never touched are never made. Views of it do not
/// keep it alive: whoever hands out views holds the buffer.
public final class ScalarBuffer<Scalar: TrainingScalar>: @unchecked Sendable {
  public let values: UnsafeMutableBufferPointer<Scalar>
  private let memory: UnsafeMutableRawPointer

  public init(count: Int) {
    // Room to start at a cache line.
    guard let memory = calloc(max(count, 1) * MemoryLayout<Scalar>.stride + 64, 1) else {
      preconditionFailure("no memory for \(count) numbers")
    }
    self.memory = memory
    let start = memory.alignedUp(toMultipleOf: 64)
    values = UnsafeMutableBufferPointer(
      start: start.bindMemory(to: Scalar.self, capacity: count), count: count)
  }

  /// A copy of `elements`.
  public convenience init(_ elements: [Float]) {
    self.init(count: elements.count)
    for (index, element) in elements.enumerated() { values[index] = Scalar(element) }
  }

  deinit { free(memory) }

  public var count: Int { values.count }

  public func matrix(rows: Int, columns: Int) -> MatrixView<Scalar> {
    MatrixView(values, rows: rows, columns: columns)
  }
}
