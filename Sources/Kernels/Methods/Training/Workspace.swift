/// Scratch memory that grows during the first steps and is reused by all later ones.
///
/// One thread uses it at a time.
public final class Workspace<Scalar: TrainingScalar> {
  private var chunks: [ScalarBuffer<Scalar>] = []
  /// Where the next matrix goes.
  private var position = Position()

  private struct Position {
    var chunk = 0
    var offset = 0
    /// Numbers handed out so far.
    var used = 0
  }

  /// The most numbers that were in use at a time.
  public private(set) var peak = 0

  private let chunkSize: Int

  /// - Parameter chunkSize: numbers that memory is asked for at a time. What is not used of a chunk costs
  ///   addresses only.
  public init(chunkSize: Int = 1 << 14) { self.chunkSize = chunkSize }

  /// A matrix with undefined elements, valid until the enclosing `scope` ends.
  public func matrix(rows: Int, columns: Int) -> MatrixView<Scalar> {
    // Whole cache lines, so that every matrix starts aligned.
    let count = (rows * columns + 15) & ~15
    while position.chunk < chunks.count,
      position.offset + count > chunks[position.chunk].count
    {
      position.chunk += 1
      position.offset = 0
    }
    if position.chunk == chunks.count {
      chunks.append(ScalarBuffer(count: max(count, chunkSize)))
    }
    let start = position.offset
    position.offset += count
    position.used += count
    peak = max(peak, position.used)
    return MatrixView(
      UnsafeMutableBufferPointer(rebasing: chunks[position.chunk].values[start..<start + count]),
      rows: rows, columns: columns)
  }

  /// A vector with undefined elements, valid until the enclosing `scope` ends.
  public func vector(_ count: Int) -> Row<Scalar> { matrix(rows: 1, columns: count)[0] }

  /// Runs `body` and gives back what it took.
  public func scope<Result>(_ body: () throws -> Result) rethrows -> Result {
    let saved = position
    defer { position = saved }
    return try body()
  }
}
