import Synchronization

/// The ids of pieces that were tokenized before: texts repeat few words often.
final class PieceCache: Sendable {
  /// Longer pieces are not kept.
  static let maximumPieceLength = 64
  static let maximumCount = 1 << 17

  private struct Storage {
    /// Where a piece's ids lie in `ids`.
    var ranges: [TokenText: Range<Int>] = [:]
    var ids: [Int32] = []
  }

  private let storage = Mutex(Storage())

  /// Appends the ids of `piece` if they are known.
  func append(_ piece: TokenText, to ids: inout [Int32]) -> Bool {
    guard piece.scalars.count <= Self.maximumPieceLength else { return false }
    return storage.withLock { storage in
      guard let range = storage.ranges[piece] else { return false }
      ids.append(contentsOf: storage.ids[range])
      return true
    }
  }

  func insert(_ piece: TokenText, ids: ArraySlice<Int32>) {
    guard piece.scalars.count <= Self.maximumPieceLength else { return }
    storage.withLock { storage in
      guard storage.ranges.count < Self.maximumCount else { return }
      let start = storage.ids.count
      storage.ids.append(contentsOf: ids)
      storage.ranges[piece.detached] = start..<storage.ids.count
    }
  }
}
