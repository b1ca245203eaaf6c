/// Reads JSON value by value, without building a tree.
///
/// Strict, in the dialect of serde_json: no comments, no trailing commas, no leading zeros, no lone
/// surrogates, no raw control characters, no number beyond the range of a `Double`, at most 127
/// nested containers. The bytes must already be known to be UTF-8.
struct JSONReader {
  /// How deep arrays and objects may nest; the outermost is level 1.
  static let maximumDepth = 127

  enum Kind { case object, array, string, number, literal }

  private let bytes: [UInt8]
  private(set) var position = 0
  private var depth = 0
  /// Whether the last token was an opening bracket, so that no comma is due.
  private var justOpened = false
  /// Whether `NaN`, `Infinity` and `-Infinity`, which Python writes, are numbers.
  private let allowsNonFinite: Bool

  /// - Throws: `invalidUTF8`.
  init(_ bytes: [UInt8], allowsNonFinite: Bool = false) throws(JSONError) {
    if let offset = firstInvalidUTF8(in: bytes) { throw JSONError(.invalidUTF8, at: offset) }
    self.bytes = bytes
    self.allowsNonFinite = allowsNonFinite
  }

  // MARK: - Values

  /// What the next value is, by its first character.
  mutating func peekKind() throws(JSONError) -> Kind {
    switch try peek() {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): return .literal
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): return .number
    case UInt8(ascii: "N"), UInt8(ascii: "I"):
      if allowsNonFinite { return .number }
      throw JSONError(.expectedValue, at: position)
    default: throw JSONError(.expectedValue, at: position)
    }
  }

  /// `true`, `false` or, as nil, `null`.
  mutating func readLiteral() throws(JSONError) -> Bool? {
    switch try peek() {
    case UInt8(ascii: "t"):
      try consume("true")
      return true
    case UInt8(ascii: "f"):
      try consume("false")
      return false
    default:
      try consume("null")
      return nil
    }
  }

  /// A number, by its text.
  mutating func readNumber() throws(JSONError) -> JSONNumber {
    let first = try peek()
    let start = position
    if allowsNonFinite {
      for word in ["NaN", "Infinity", "-Infinity"] where bytes[start...].starts(with: word.utf8) {
        position += word.utf8.count
        return JSONNumber(lexeme: word)
      }
    }
    if first == UInt8(ascii: "-") { position += 1 }
    if current == UInt8(ascii: "0") {
      position += 1
      if isDigit(current) { throw JSONError(.invalidNumber, at: position) }
    } else {
      try skipDigits()
    }
    var isInteger = true
    if current == UInt8(ascii: ".") {
      position += 1
      try skipDigits()
      isInteger = false
    }
    if let byte = current, byte | 0x20 == UInt8(ascii: "e") {
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      try skipDigits()
      isInteger = false
    }
    let lexeme = String(decoding: bytes[start..<position], as: UTF8.self)
    // Fewer than 300 digits without an exponent cannot leave the range.
    if !isInteger || position - start > 300, Double(lexeme)?.isFinite != true {
      throw JSONError(.numberOutOfRange, at: start)
    }
    return JSONNumber(lexeme: lexeme)
  }

  mutating func readString() throws(JSONError) -> String {
    guard try peek() == UInt8(ascii: "\"") else { throw JSONError(.expected("\""), at: position) }
    position += 1
    let start = position
    // The common string has no escapes and is decoded in one piece.
    while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      position += 1
    }
    if current == UInt8(ascii: "\"") {
      position += 1
      return String(decoding: bytes[start..<position - 1], as: UTF8.self)
    }
    return try readEscapedString(from: start)
  }

  /// Reads a value and forgets it.
  mutating func skipValue() throws(JSONError) {
    switch try peekKind() {
    case .object:
      try beginContainer()
      while try nextKey() != nil { try skipValue() }
    case .array:
      try beginContainer()
      while try nextElement() { try skipValue() }
    case .string: _ = try readString()
    case .number: _ = try readNumber()
    case .literal: _ = try readLiteral()
    }
  }

  /// Fails unless only white space follows.
  mutating func finish() throws(JSONError) {
    skipWhitespace()
    if position < bytes.count { throw JSONError(.trailingBytes, at: position) }
  }

  // MARK: - Containers

  /// Enters the object or array whose bracket comes next.
  mutating func beginContainer() throws(JSONError) {
    _ = try peek()
    guard depth < Self.maximumDepth else { throw JSONError(.tooDeep, at: position) }
    position += 1
    depth += 1
    justOpened = true
  }

  /// The next key of the object entered, its colon read; nil, and out of the object, at its end.
  mutating func nextKey() throws(JSONError) -> String? {
    guard try advance(to: UInt8(ascii: "}")) else { return nil }
    guard try peek() == UInt8(ascii: "\"") else { throw JSONError(.expectedKey, at: position) }
    let key = try readString()
    guard try peek() == UInt8(ascii: ":") else { throw JSONError(.expected(":"), at: position) }
    position += 1
    return key
  }

  /// Whether the array entered has another element; at its end, leaves it.
  mutating func nextElement() throws(JSONError) -> Bool {
    try advance(to: UInt8(ascii: "]"))
  }

  /// Reads the comma before the next member, or the closing bracket.
  private mutating func advance(to close: UInt8) throws(JSONError) -> Bool {
    let byte = try peek()
    let isFirst = justOpened
    justOpened = false
    if byte == close {
      position += 1
      depth -= 1
      return false
    }
    if isFirst { return true }
    guard byte == UInt8(ascii: ",") else {
      throw JSONError(.expected(", or \(Character(UnicodeScalar(close)))"), at: position)
    }
    position += 1
    if try peek() == close { throw JSONError(.trailingComma, at: position) }
    return true
  }

  // MARK: - Characters

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func isDigit(_ byte: UInt8?) -> Bool {
    guard let byte else { return false }
    return byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
  }

  private func isWhitespace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
  }

  private mutating func skipWhitespace() {
    while let byte = current, isWhitespace(byte) { position += 1 }
  }

  /// The first byte that is not white space, which becomes the position.
  private mutating func peek() throws(JSONError) -> UInt8 {
    skipWhitespace()
    guard let byte = current else { throw JSONError(.unexpectedEnd, at: position) }
    return byte
  }

  private mutating func consume(_ word: String) throws(JSONError) {
    for letter in word.utf8 {
      guard let byte = current else { throw JSONError(.unexpectedEnd, at: position) }
      guard byte == letter else { throw JSONError(.expectedValue, at: position) }
      position += 1
    }
  }

  private mutating func skipDigits() throws(JSONError) {
    guard isDigit(current) else { throw JSONError(.invalidNumber, at: position) }
    while isDigit(current) { position += 1 }
  }

  // MARK: - Escapes

  /// Reads a string that began at `start` and is plain up to the position.
  private mutating func readEscapedString(from start: Int) throws(JSONError) -> String {
    var text = Array(bytes[start..<position])
    while let byte = current {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): try readEscape(into: &text)
      case 0..<0x20: throw JSONError(.controlCharacter, at: position - 1)
      default: text.append(byte)
      }
    }
    throw JSONError(.unexpectedEnd, at: position)
  }

  private mutating func readEscape(into text: inout [UInt8]) throws(JSONError) {
    guard let escape = current else { throw JSONError(.unexpectedEnd, at: position) }
    position += 1
    switch escape {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text.append(contentsOf: String(try readUnicodeEscape()).utf8)
    default: throw JSONError(.invalidEscape, at: position - 1)
    }
  }

  /// The scalar of a `\u` escape, or of the pair of them that makes one; the first `\u` has been read.
  private mutating func readUnicodeEscape() throws(JSONError) -> Unicode.Scalar {
    let start = position - 2
    let first = try readHexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, current == UInt8(ascii: "\\"), position + 1 < bytes.count,
      bytes[position + 1] == UInt8(ascii: "u")
    else { throw JSONError(.loneSurrogate, at: start) }
    position += 2
    let second = try readHexadecimal()
    guard (0xDC00..<0xE000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw JSONError(.loneSurrogate, at: start) }
    return scalar
  }

  private mutating func readHexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = current else { throw JSONError(.unexpectedEnd, at: position) }
      guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
        throw JSONError(.invalidEscape, at: position)
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
