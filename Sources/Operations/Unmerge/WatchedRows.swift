import Kernels

/// Rows of W0 that know whether somebody has looked at them.
final class WatchedRows: RowSource {
  private let source: any RowSource
  private(set) var wasRead = false

  init(_ source: any RowSource) {
    self.source = source
  }

  var rows: Int { source.rows }
  var columns: Int { source.columns }

  func read(into band: RowBand) throws {
    wasRead = true
    try source.read(into: band)
  }
}

extension UnsafeMutableRawBufferPointer {
  /// Fills this memory, the bytes `range` of a tensor, with those of them that `bytes` holds, which begin
  /// at `start` of the tensor.
  func copyOverlap(
    _ range: Range<Int>, from bytes: UnsafeMutableRawBufferPointer, at start: Int
  ) {
    let common = range.clamped(to: start..<start + bytes.count)
    guard !common.isEmpty else { return }
    UnsafeMutableRawBufferPointer(
      rebasing: self[common.lowerBound - range.lowerBound..<common.upperBound - range.lowerBound]
    ).copyMemory(
      from: UnsafeRawBufferPointer(
        rebasing: bytes[common.lowerBound - start..<common.upperBound - start]))
  }
}
