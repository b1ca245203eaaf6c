import Safetensors

/// The unigram language model of SentencePiece (Kudo 2018, arXiv:1804.10959): the segmentation of
/// highest summed log probability, by Viterbi's algorithm.
struct Unigram: TokenModel {
  let vocabulary: Vocabulary
  private let scores: [Double]
  private let trie: TokenTrie
  private let unknownID: Int32?
  /// The score of a scalar that no token covers: 10 below the worst token.
  private let unknownScore: Double
  private let byteTokens: [Int32?]?

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    var vocabulary = Vocabulary()
    var trie = TokenTrie()
    var scores: [Double] = []
    for (id, entry) in try settings.array("vocab").enumerated() {
      guard let pair = entry.array, pair.count == 2, let token = pair[0].string,
        let score = pair[1].double, let id = Int32(exactly: id)
      else { throw settings.invalid("vocab") }
      let text = TokenText(token)
      vocabulary.insert(text, id: id)
      trie.insert(text.scalars, id: id)
      scores.append(score)
    }
    unknownID = settings["unk_id"] == nil ? nil : Int32(exactly: try settings.count("unk_id"))
    if let unknownID, unknownID >= scores.count { throw settings.invalid("unk_id") }
    let fallsBack = try settings.bool("byte_fallback", default: false)
    byteTokens = fallsBack ? vocabulary.byteTokens : nil
    unknownScore = (scores.min() ?? .infinity) - 10
    self.vocabulary = vocabulary
    self.trie = trie
    self.scores = scores
  }

  /// The best way to cover the text up to a position.
  private struct Node {
    var id: Int32 = 0
    var score = 0.0
    /// Where the last token of the way starts; −1 where no way is known.
    var start = -1
  }

  func tokenize(
    _ piece: ArraySlice<Unicode.Scalar>, into ids: inout [Int32]
  ) throws(TokenizerError) {
    let first = piece.startIndex
    let nodes = try bestNodes(of: piece)
    // Backwards over the best way; unknown tokens side by side are one.
    var tokens: [(range: Range<Int>, isUnknown: Bool)] = []
    var end = piece.count
    while end > 0 {
      let node = nodes[end]
      let isUnknown = node.id == unknownID
      if isUnknown, let last = tokens.last, last.isUnknown {
        tokens[tokens.count - 1].range = first + node.start..<last.range.upperBound
      } else {
        tokens.append((first + node.start..<first + end, isUnknown))
      }
      end = node.start
    }
    for token in tokens.reversed() { try appendID(of: piece[token.range], to: &ids) }
  }

  private func bestNodes(of piece: ArraySlice<Unicode.Scalar>) throws(TokenizerError) -> [Node] {
    let first = piece.startIndex
    var nodes = [Node](repeating: Node(), count: piece.count + 1)
    func offer(_ id: Int32, _ score: Double, from start: Int, to end: Int) {
      if nodes[end].start < 0 || score > nodes[end].score {
        nodes[end] = Node(id: id, score: score, start: start)
      }
    }
    for start in 0..<piece.count {
      let scoreHere = nodes[start].score
      var coversOneScalar = false
      trie.forEachPrefix(of: piece[(first + start)...]) { length, id in
        offer(id, scores[Int(id)] + scoreHere, from: start, to: start + length)
        if length == 1 { coversOneScalar = true }
      }
      if !coversOneScalar {
        guard let unknownID else { throw TokenizerError.unknownTokenMissing(model: "Unigram") }
        offer(unknownID, unknownScore + scoreHere, from: start, to: start + 1)
      }
    }
    return nodes
  }

  private func appendID(
    of text: ArraySlice<Unicode.Scalar>, to ids: inout [Int32]
  ) throws(TokenizerError) {
    if let id = vocabulary.id(of: TokenText(text)) {
      ids.append(id)
      return
    }
    if let byteTokens {
      let bytes = String(scalars: text).utf8.map { byteTokens[Int($0)] }
      if !bytes.contains(nil) {
        ids.append(contentsOf: bytes.compactMap { $0 })
        return
      }
    }
    guard let unknownID else { throw TokenizerError.unknownTokenMissing(model: "Unigram") }
    ids.append(unknownID)
  }
}
