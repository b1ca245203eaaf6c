/// WordPiece (BERT): from the left, the longest token that fits; a word with a rest that no token fits
/// is unknown as a whole.
struct WordPiece: TokenModel {
  let vocabulary: Vocabulary
  /// The tokens that continue a word, without their prefix.
  private let continuations: Vocabulary
  private let unknownID: Int32?
  /// Words of more scalars are unknown.
  private let maximumWordLength: Int
  /// The length of the longest token, in scalars.
  private let longestToken: Int

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    vocabulary = try Vocabulary(settings)
    unknownID = vocabulary.id(of: try settings.string("unk_token"))
    maximumWordLength = try settings.count("max_input_chars_per_word")
    let prefix = Array(try settings.string("continuing_subword_prefix").unicodeScalars)
    var continuations = Vocabulary()
    var longest = 0
    for (token, id) in vocabulary.entries {
      longest = max(longest, token.scalars.count)
      if token.scalars.starts(with: prefix) {
        continuations.insert(TokenText(token.scalars.dropFirst(prefix.count)), id: id)
      }
    }
    self.continuations = continuations
    longestToken = longest
  }

  func tokenize(
    _ piece: ArraySlice<Unicode.Scalar>, into ids: inout [Int32]
  ) throws(TokenizerError) {
    let firstID = ids.count
    var start = piece.startIndex
    var isKnown = piece.count <= maximumWordLength
    while isKnown, start < piece.endIndex {
      let tokens = start == piece.startIndex ? vocabulary : continuations
      var end = min(piece.endIndex, start + longestToken)
      isKnown = false
      while end > start {
        if let id = tokens.id(of: TokenText(piece[start..<end])) {
          ids.append(id)
          start = end
          isKnown = true
          break
        }
        end -= 1
      }
    }
    if !isKnown {
      guard let unknownID else { throw TokenizerError.unknownTokenMissing(model: "WordPiece") }
      ids.removeLast(ids.count - firstID)
      ids.append(unknownID)
    }
  }
}
