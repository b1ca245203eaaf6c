extension JSONValue {
  /// Reads a whole JSON text.
  ///
  /// Strict, in the dialect of serde_json: UTF-8 without a byte order mark, no comments, trailing
  /// commas, lone surrogates or raw control characters, at most 127 nested containers. Duplicate keys
  /// are kept: `JSONObject.duplicateKeys`.
  ///
  /// - Parameter allowsNonFinite: accept `NaN`, `Infinity` and `-Infinity`, which Python writes.
  public static func parse(
    _ bytes: some Sequence<UInt8>, allowsNonFinite: Bool = false
  ) throws(JSONError) -> JSONValue {
    var reader = try JSONReader(Array(bytes), allowsNonFinite: allowsNonFinite)
    let value = try reader.readValue()
    try reader.finish()
    return value
  }

  /// Reads a whole JSON text.
  public static func parse(
    _ text: String, allowsNonFinite: Bool = false
  ) throws(JSONError) -> JSONValue {
    try parse(text.utf8, allowsNonFinite: allowsNonFinite)
  }
}

extension JSONReader {
  /// Reads a value as a tree.
  mutating func readValue() throws(JSONError) -> JSONValue {
    switch try peekKind() {
    case .object:
      var object = JSONObject()
      try beginContainer()
      while let key = try nextKey() { object.append(try readValue(), for: key) }
      return .object(object)
    case .array:
      var elements: [JSONValue] = []
      try beginContainer()
      while try nextElement() { elements.append(try readValue()) }
      return .array(elements)
    case .string: return .string(try readString())
    case .number: return .number(try readNumber())
    case .literal: return try readLiteral().map { .bool($0) } ?? .null
    }
  }
}
