import Safetensors

/// The third step of encoding: a piece of text into tokens of the vocabulary.
protocol TokenModel: Sendable {
  var vocabulary: Vocabulary { get }

  /// Appends the ids of a piece, which is not empty.
  func tokenize(
    _ piece: ArraySlice<Unicode.Scalar>, into ids: inout [Int32]
  ) throws(TokenizerError)
}

/// Reads the `model` of a tokenizer. Old files leave out its type, which the keys tell.
func readModel(_ value: JSONValue) throws(TokenizerError) -> any TokenModel {
  guard let fields = value.object else {
    throw TokenizerError.missing(component: "tokenizer", key: "model")
  }
  let type: String
  if let name = fields["type"]?.string {
    type = name
  } else if fields["merges"] != nil {
    type = "BPE"
  } else if fields["vocab"]?.array != nil {
    type = "Unigram"
  } else {
    type = fields["continuing_subword_prefix"] == nil ? "WordLevel" : "WordPiece"
  }
  let settings = ComponentSettings(component: type, fields: fields)
  switch type {
  case "BPE": return try BytePairEncoding(settings)
  case "WordPiece": return try WordPiece(settings)
  case "WordLevel": return try WordLevel(settings)
  case "Unigram": return try Unigram(settings)
  default: throw TokenizerError.unsupported(component: "model", feature: type)
  }
}
