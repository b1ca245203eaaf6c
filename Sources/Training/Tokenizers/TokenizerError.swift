import Safetensors

/// Why a tokenizer cannot be read or cannot encode a text.
public enum TokenizerError: Error, Equatable, Sendable {
  /// The file cannot be read.
  case file(FileError)
  case json(JSONError)
  /// `version` is not `1.0`.
  case unknownVersion(String)
  /// A component lacks a key that it needs.
  case missing(component: String, key: String)
  /// A component's key holds a value of the wrong kind or range.
  case invalid(component: String, key: String)
  /// A component, or a setting of it, that this tokenizer does not implement.
  case unsupported(component: String, feature: String)
  /// A regular expression outside the supported syntax; `offset` in Unicode scalars.
  case unsupportedPattern(String, offset: Int, construct: String)
  /// A merge of a BPE model names a token that its vocabulary lacks.
  case mergeOutOfVocabulary(token: String)
  /// A text needs the unknown token, and the model has none.
  case unknownTokenMissing(model: String)
  /// Truncation leaves no room: the special tokens alone exceed the maximal length, or the sequence
  /// that is to be cut is shorter than what must go.
  case truncationImpossible(maximumLength: Int)
}
