import Kernels
import Safetensors
import Synchronization

/// A tensor of the base that comes out of a record, chunk by chunk.
final class RestoredTensor: TensorSource {
  /// What a chunk is decoded with.
  enum Content: Sendable {
    /// The tensor as a merge onto the rows of W', whose changes made W' of W0.
    case candidates(MergedTensor, FileRows)
    case difference(FileRows, ElementType)
    /// Elements of so many bytes.
    case original(elementSize: Int)
  }

  /// What is in memory while the tensor is written.
  private struct Opened: Sendable {
    /// Where the chunks' codes are in the record.
    var codes: [Range<Int>]
    var change: RecordedChange?
  }

  /// Bytes of the tensor that are decoded together: a change is cheaper by the row when there are more of
  /// them.
  private static let bandBytes = 1 << 19

  private let entry: UndoManifest.Tensor
  private let byteCount: Int
  private let content: Content
  private let record: UndoRecord
  private let opened = Mutex<Opened?>(nil)
  /// CRC-32 of the chunks of W', in their order.
  private let mergedChecksums: Mutex<[UInt32]>

  /// - Parameter entry: what the record says of the tensor.
  init(
    _ entry: UndoManifest.Tensor, byteCount: Int, content: Content, record: UndoRecord
  ) throws {
    self.entry = entry
    self.byteCount = byteCount
    self.content = content
    self.record = record
    let unit =
      switch content {
      case .candidates(_, let rows): rows.rowBytes
      case .difference(_, let element): element.size
      case .original(let size): size
      }
    guard unit > 0, entry.chunkBytes % unit == 0 else {
      throw UndoError.damaged(
        path: record.path, reason: "the chunks of \(entry.name) in it do not end with elements")
    }
    mergedChecksums = Mutex(
      Array(repeating: 0, count: (byteCount + entry.chunkBytes - 1) / entry.chunkBytes))
  }

  var name: String { entry.name }

  private var notThisModel: UndoError {
    .otherModel(path: record.path, tensor: entry.source ?? name)
  }

  /// Whether W' was the one that was recorded. To be asked at the end.
  var cameFromRecorded: Bool {
    if case .original = content { return true }
    let chunkBytes = entry.chunkBytes
    let found = mergedChecksums.withLock { checksums in
      checksums.enumerated().reduce(0 as UInt32) { total, chunk in
        CRC32.combine(
          total, chunk.element,
          lengthOfB: min(chunkBytes, byteCount - chunk.offset * chunkBytes))
      }
    }
    return found == entry.sourceChecksum
  }

  func open(_ workspace: Workspace) throws {
    var opened = Opened(codes: try record.chunks(of: name))
    if case .candidates(let tensor, let rows) = content {
      do {
        opened.change = try RecordedChange(
          tensor, factors: record.factors(of: name),
          rowsPerChunk: entry.chunkBytes / rows.rowBytes, workspace: workspace)
      } catch is BaseNeeded {
        throw notThisModel
      }
    }
    self.opened.withLock { $0 = opened }
  }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    guard let opened = opened.withLock({ $0 }), !range.isEmpty else { return }
    let size = entry.chunkBytes
    let end = (range.upperBound + size - 1) / size
    let together = max(1, Self.bandBytes / size)
    for first in stride(from: range.lowerBound / size, to: end, by: together) {
      let chunks = first..<min(first + together, end)
      let whole = first * size..<min(chunks.upperBound * size, byteCount)
      let stored = workspace.bytes(.base, count: whole.count)
      let merged = try UnsafeRawBufferPointer(readMerged(whole, workspace))
      let isDecoded = try decode(chunks, opened, merged: merged, into: stored, workspace)
      guard isDecoded else { throw notThisModel }
      output.copyOverlap(range, from: stored, at: whole.lowerBound)
      // A chunk is counted where it begins.
      for chunk in chunks where range.contains(chunk * size) && !merged.isEmpty {
        let crc = CRC32.of(UnsafeRawBufferPointer(rebasing: merged[part(chunk, of: chunks)]))
        mergedChecksums.withLock { $0[chunk] = crc }
      }
    }
  }

  func close(checksum: UInt32) throws {
    opened.withLock { $0 = nil }
  }

  /// The bytes of `chunk` in a buffer of all `chunks`.
  private func part(_ chunk: Int, of chunks: Range<Int>) -> Range<Int> {
    let start = (chunk - chunks.lowerBound) * entry.chunkBytes
    return start..<start + min(entry.chunkBytes, byteCount - chunk * entry.chunkBytes)
  }

  /// Bytes of W'; none where the tensor does not come from W'.
  private func readMerged(
    _ range: Range<Int>, _ workspace: Workspace
  ) throws -> UnsafeMutableRawBufferPointer {
    let rows: FileRows
    switch content {
    case .candidates(_, let source), .difference(let source, _): rows = source
    case .original: return UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }
    let buffer = workspace.bytes(.merged, count: range.count)
    try rows.file.read(into: buffer, at: rows.offset + range.lowerBound)
    return buffer
  }

  /// Decodes chunks; false where a code does not belong to W'.
  private func decode(
    _ chunks: Range<Int>, _ opened: Opened, merged: UnsafeRawBufferPointer,
    into stored: UnsafeMutableRawBufferPointer, _ workspace: Workspace
  ) throws -> Bool {
    var band: ComputedBand?
    var rowsPerChunk = 1
    if case .candidates(let tensor, let rows) = content {
      rowsPerChunk = entry.chunkBytes / rows.rowBytes
      let end = min(chunks.upperBound * rowsPerChunk, tensor.shape.rows)
      band = opened.change?.band(chunks.lowerBound * rowsPerChunk..<end, workspace)
    }
    for chunk in chunks {
      let part = part(chunk, of: chunks)
      let target = UnsafeMutableRawBufferPointer(rebasing: stored[part])
      let after =
        merged.isEmpty ? merged : UnsafeRawBufferPointer(rebasing: merged[part])
      let place = opened.codes[chunk]
      let code = try record.file.file.read(count: place.count, at: place.lowerBound)
      let isDecoded = code.withUnsafeBytes { code in
        switch content {
        case .original(let size): return PlaneCoding.decode(code, size: size, into: target)
        case .difference(_, let element):
          return DifferenceCoding.decode(code, merged: after, element: element, into: target)
        case .candidates(let tensor, _):
          let first = chunk * rowsPerChunk
          let rows = first..<min(first + rowsPerChunk, tensor.shape.rows)
          guard let changed = band?.changed(rows, merged: after) else { return false }
          return CandidateCoding.decode(code, of: changed, into: target)
        }
      }
      guard isDecoded else { return false }
    }
    return true
  }
}
