import Safetensors
import Synchronization

/// The pieces of an undo record while their sizes are not all known: in memory while they are few, and
/// else in a temporary file.
final class ChunkStore: Sendable {
  /// Where a piece is.
  struct Place: Sendable {
    let offset: Int
    let count: Int
  }

  private struct State {
    /// Bytes that are in the file; the pending ones follow them.
    var written = 0
    var pending: [UInt8] = []
    var file: OutputFile?
    var reader: InputFile?
  }

  /// Bytes that are held in memory.
  private static let limit = 8 << 20

  private let state = Mutex(State())
  private let path = Mutex("")

  /// Says where the temporary file may be. It is made when it is needed.
  func useFile(_ path: String) {
    self.path.withLock { $0 = path }
  }

  /// Takes in a piece, from any thread.
  func append(_ bytes: UnsafeRawBufferPointer) throws -> Place {
    try state.withLock { state in
      let place = Place(offset: state.written + state.pending.count, count: bytes.count)
      state.pending.append(contentsOf: bytes)
      if state.pending.count >= Self.limit {
        let file = try state.file ?? OutputFile(path: path.withLock { $0 })
        state.file = file
        try file.write(state.pending, at: state.written)
        state.written += state.pending.count
        state.pending.removeAll(keepingCapacity: true)
      }
      return place
    }
  }

  /// Reads a piece.
  func read(_ place: Place) throws -> [UInt8] {
    try state.withLock { state in
      guard place.offset < state.written else {
        let start = place.offset - state.written
        return Array(state.pending[start..<start + place.count])
      }
      let reader = try state.reader ?? InputFile(path: path.withLock { $0 })
      state.reader = reader
      return try reader.read(count: place.count, at: place.offset)
    }
  }

  /// Forgets everything, the file as well.
  func clear() throws {
    try state.withLock { state in
      let hadFile = state.file != nil
      state = State()
      if hadFile { try FileSystem.removeFile(path.withLock { $0 }) }
    }
  }
}
