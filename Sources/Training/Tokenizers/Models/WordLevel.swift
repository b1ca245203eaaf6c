/// Whole words: a piece is a token or unknown.
struct WordLevel: TokenModel {
  let vocabulary: Vocabulary
  private let unknownID: Int32?

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    vocabulary = try Vocabulary(settings)
    unknownID = vocabulary.id(of: try settings.string("unk_token"))
  }

  func tokenize(
    _ piece: ArraySlice<Unicode.Scalar>, into ids: inout [Int32]
  ) throws(TokenizerError) {
    guard let id = vocabulary.id(of: TokenText(piece)) ?? unknownID else {
      throw TokenizerError.unknownTokenMissing(model: "WordLevel")
    }
    ids.append(id)
  }
}
