import Safetensors

/// The merges of byte pair encoding and their application.
struct MergeTable: Sendable {
  private struct Merge {
    var rank: Int32
    var result: Int32
  }

  /// By the ids of left and right.
  private let merges: [UInt64: Merge]

  /// The `merges` of a model: `"a b"` or `["a", "b"]`, in order of rank.
  ///
  /// - Parameter prefixLength: how many scalars the right token of a merge loses at its start.
  init(
    _ settings: ComponentSettings, vocabulary: Vocabulary, prefixLength: Int
  ) throws(TokenizerError) {
    let list = try settings.array("merges")
    var merges: [UInt64: Merge] = [:]
    merges.reserveCapacity(list.count)
    var rank: Int32 = 0
    for value in list {
      let pair: [TokenText]
      if let line = value.string {
        // The first line of old files: `#version: 0.2`.
        if line.hasPrefix("#version") { continue }
        pair = line.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false).map {
          TokenText(Array($0)[...])
        }
      } else {
        pair = (value.array ?? []).compactMap { $0.string.map { TokenText($0) } }
      }
      guard pair.count == 2 else { throw settings.invalid("merges") }
      func id(of token: TokenText) throws(TokenizerError) -> Int32 {
        guard let id = vocabulary.id(of: token) else {
          throw TokenizerError.mergeOutOfVocabulary(token: String(scalars: token.scalars))
        }
        return id
      }
      let merged = pair[0].scalars + pair[1].scalars.dropFirst(prefixLength)
      let key = Self.key(try id(of: pair[0]), try id(of: pair[1]))
      merges[key] = Merge(rank: rank, result: try id(of: TokenText(merged)))
      rank += 1
    }
    self.merges = merges
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private struct Symbol {
    var id: Int32
    var previous: Int
    /// `symbols.count` at the end of the list.
    var next: Int
    var isMerged = false
  }

  /// Merges neighbours until none has a rank, lowest rank first, leftmost first among equals; appends
  /// the ids that remain. O(n log n).
  func merge(_ initial: [Int32], into ids: inout [Int32]) {
    var symbols = initial.enumerated().map { index, id in
      Symbol(id: id, previous: index - 1, next: index + 1)
    }
    let count = symbols.count
    var queue = MergeQueue()

    func enqueue(at position: Int) {
      guard position >= 0, symbols[position].next < count else { return }
      let right = symbols[symbols[position].next].id
      if let merge = merges[Self.key(symbols[position].id, right)] {
        queue.push(
          MergeQueue.Candidate(rank: merge.rank, position: Int32(position), result: merge.result))
      }
    }

    for position in 0..<count { enqueue(at: position) }
    while let candidate = queue.pop() {
      let position = Int(candidate.position)
      guard !symbols[position].isMerged, symbols[position].next < count else { continue }
      let right = symbols[position].next
      // The pair may have changed since it was queued.
      guard
        merges[Self.key(symbols[position].id, symbols[right].id)]?.result == candidate.result
      else { continue }
      symbols[position].id = candidate.result
      symbols[position].next = symbols[right].next
      symbols[right].isMerged = true
      if symbols[right].next < count { symbols[symbols[right].next].previous = position }
      enqueue(at: symbols[position].previous)
      enqueue(at: position)
    }
    for symbol in symbols where !symbol.isMerged { ids.append(symbol.id) }
  }
}
