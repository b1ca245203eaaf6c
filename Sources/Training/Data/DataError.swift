import Safetensors

/// Why data cannot be read.
public enum DataError: Error, Equatable, Sendable {
  case file(FileError)
  case safetensors(SafetensorsError)
  /// The file holds no example.
  case empty(path: String)
  /// A line of a file of JSON lines, counted from 1.
  case record(path: String, line: Int, RecordError)
  /// A tensor that is missing, or whose type or shape does not fit the others.
  case tensor(path: String, name: String, TensorProblem)
  /// Examples of a classifier, or images, cannot share a row.
  case cannotPack

  public enum TensorProblem: Equatable, Sendable {
    /// Neither `input_ids` nor `pixel_values` is there.
    case missing
    case unsupportedType(DType)
    case unexpectedShape([Int])
    /// An integer that an `Int32` does not hold.
    case valueOutOfRange
  }
}

/// What is wrong with one record of the data.
public enum RecordError: Error, Equatable, Sendable {
  case json(JSONError)
  case notAnObject
  /// None of the sets of keys that make an example is there: `messages`, `prompt` and `completion`,
  /// `text`.
  case noKnownKeys
  case missing(key: String)
  case wrongType(key: String)
  /// A label that is not one of the model's.
  case unknownLabel(String)
  /// The record has no tokens.
  case noTokens
  /// `messages` without a chat template in the model's folder.
  case noChatTemplate
  case tokenizer(TokenizerError)
  case template(TemplateError)
}
