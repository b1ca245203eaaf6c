/// Why a text is not the JSON that this module reads, and where.
public struct JSONError: Error, Equatable, Sendable {
  public enum Reason: Equatable, Sendable {
    /// The bytes are not UTF-8.
    case invalidUTF8
    case unexpectedEnd
    /// A value should start here.
    case expectedValue
    /// An object's key, a string, should start here.
    case expectedKey
    /// One of these characters should stand here.
    case expected(String)
    case trailingComma
    /// Something follows the value.
    case trailingBytes
    /// More than ``JSONReader/maximumDepth`` nested arrays and objects.
    case tooDeep
    case invalidNumber
    /// The number is beyond what a `Double` holds.
    case numberOutOfRange
    case invalidEscape
    /// An escaped UTF-16 surrogate without its other half.
    case loneSurrogate
    /// An unescaped character below U+0020 in a string.
    case controlCharacter
  }

  public let reason: Reason
  /// The byte at which reading stopped, from the start of the text.
  public let offset: Int

  public init(_ reason: Reason, at offset: Int) {
    self.reason = reason
    self.offset = offset
  }
}
