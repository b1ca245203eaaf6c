/// The members of a JSON object in the order of the text, duplicates included.
public struct JSONObject: Equatable, Sendable {
  public struct Entry: Equatable, Sendable {
    public var key: String
    public var value: JSONValue

    public init(key: String, value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  public private(set) var entries: [Entry] = []
  /// The last entry of each key, as in every reader that keeps one value per key.
  private var positions: [ExactString: Int] = [:]

  public init() {}

  public init(_ entries: [Entry]) {
    for entry in entries { append(entry.value, for: entry.key) }
  }

  public var keys: [String] { entries.map(\.key) }
  public var count: Int { entries.count }
  public var isEmpty: Bool { entries.isEmpty }

  /// The keys that occur more than once, each once, in order of their second occurrence.
  public var duplicateKeys: [String] {
    if positions.count == entries.count { return [] }
    var occurrences: [ExactString: Int] = [:]
    return entries.compactMap { entry in
      occurrences[ExactString(entry.key), default: 0] += 1
      return occurrences[ExactString(entry.key)] == 2 ? entry.key : nil
    }
  }

  /// The value of `key`, the last where the text has several.
  ///
  /// A new value takes the place of the old; a new key goes to the end; nil removes every entry of the
  /// key. To store a JSON null, assign `JSONValue.null`.
  public subscript(key: String) -> JSONValue? {
    get { positions[ExactString(key)].map { entries[$0].value } }
    set {
      let exactKey = ExactString(key)
      if let newValue {
        if let position = positions[exactKey] {
          entries[position].value = newValue
        } else {
          append(newValue, for: key)
        }
      } else if positions[exactKey] != nil {
        entries.removeAll { ExactString($0.key) == exactKey }
        positions = [:]
        for (position, entry) in entries.enumerated() {
          positions[ExactString(entry.key)] = position
        }
      }
    }
  }

  /// Adds an entry at the end even where `key` exists already.
  mutating func append(_ value: JSONValue, for key: String) {
    positions[ExactString(key)] = entries.count
    entries.append(Entry(key: key, value: value))
  }

  /// Two objects are equal when their entries are, in the same order.
  public static func == (a: JSONObject, b: JSONObject) -> Bool { a.entries == b.entries }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    for (key, value) in elements { append(value, for: key) }
  }
}
