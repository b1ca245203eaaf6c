/// Consecutive rows of a matrix in f32, in memory that somebody else owns: the working unit of
/// every merge. Rows are addressed by their index in the whole matrix.
public struct RowBand: @unchecked Sendable {
  /// The rows of the matrix that the band holds.
  public let rows: Range<Int>
  /// Elements per row.
  public let columns: Int
  @usableFromInline let start: UnsafeMutablePointer<Float>

  /// The band of `rows` over `values`, row-major, `rows.count × columns`.
  ///
  /// - Precondition: `values` holds at least `rows.count × columns` elements.
  @inlinable
  public init(rows: Range<Int>, columns: Int, values: UnsafeMutableBufferPointer<Float>) {
    precondition(values.count >= rows.count * columns)
    self.rows = rows
    self.columns = columns
    // An empty buffer may have no address; a band of no elements never reads it.
    self.start =
      values.baseAddress
      ?? UnsafeMutablePointer(bitPattern: MemoryLayout<Float>.alignment)
      .unsafelyUnwrapped
  }

  /// Row `row` of the matrix.
  @inlinable
  public subscript(row: Int) -> UnsafeMutableBufferPointer<Float> {
    assert(rows.contains(row))
    return UnsafeMutableBufferPointer(
      start: start + (row - rows.lowerBound) * columns, count: columns)
  }

  /// All elements, row-major.
  @inlinable
  public var values: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: start, count: rows.count * columns)
  }
}
