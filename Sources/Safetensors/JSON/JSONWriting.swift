/// How JSON is laid out.
public enum JSONStyle: Equatable, Sendable {
  /// No white space at all.
  case compact
  /// One line with `", "` and `": "`: Python's `json.dumps(value)`.
  case pythonLine
  /// One member a line: Python's `json.dumps(value, indent=…)`.
  case python(indent: Int)
}

extension JSONValue {
  /// The value as text, without a newline at the end.
  ///
  /// - Parameters:
  ///   - sortKeys: object members in the order of their keys' code points, at every level.
  ///   - asciiOnly: everything but printable ASCII as `\u` escapes, as `json.dumps` does unless told
  ///     otherwise.
  public func serialized(
    style: JSONStyle = .compact, sortKeys: Bool = false, asciiOnly: Bool = true
  ) -> String {
    var writer = JSONWriter(style: style, sortKeys: sortKeys, asciiOnly: asciiOnly)
    writer.write(self, level: 0)
    return String(decoding: writer.bytes, as: UTF8.self)
  }
}

struct JSONWriter {
  let style: JSONStyle
  let sortKeys: Bool
  let asciiOnly: Bool
  private(set) var bytes: [UInt8] = []

  init(style: JSONStyle, sortKeys: Bool, asciiOnly: Bool) {
    self.style = style
    self.sortKeys = sortKeys
    self.asciiOnly = asciiOnly
  }

  mutating func write(_ value: JSONValue, level: Int) {
    switch value {
    case .null: write("null")
    case .bool(let value): write(value ? "true" : "false")
    case .number(let number): write(number.lexeme)
    case .string(let string): writeString(string)
    case .array(let elements):
      writeContainer("[", "]", elements, level: level) { writer, element in
        writer.write(element, level: level + 1)
      }
    case .object(let object):
      var entries = object.entries
      if sortKeys {
        entries = entries.enumerated().sorted {
          $0.element.key.precedesByUTF8($1.element.key)
            || (!$1.element.key.precedesByUTF8($0.element.key) && $0.offset < $1.offset)
        }.map(\.element)
      }
      writeContainer("{", "}", entries, level: level) { writer, entry in
        writer.writeString(entry.key)
        writer.write(writer.style == .compact ? ":" : ": ")
        writer.write(entry.value, level: level + 1)
      }
    }
  }

  mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

  private mutating func writeContainer<Member>(
    _ open: String, _ close: String, _ members: [Member], level: Int,
    _ writeMember: (inout JSONWriter, Member) -> Void
  ) {
    write(open)
    for (i, member) in members.enumerated() {
      if i > 0 { write(style == .pythonLine ? ", " : ",") }
      breakLine(level: level + 1)
      writeMember(&self, member)
    }
    if !members.isEmpty { breakLine(level: level) }
    write(close)
  }

  private mutating func breakLine(level: Int) {
    guard case .python(let indent) = style else { return }
    bytes.append(UInt8(ascii: "\n"))
    bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent * level))
  }

  mutating func writeString(_ string: String) {
    bytes.append(UInt8(ascii: "\""))
    defer { bytes.append(UInt8(ascii: "\"")) }
    if string.utf8.allSatisfy(Self.isPlain) {
      bytes.append(contentsOf: string.utf8)
      return
    }
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": write("\\\"")
      case "\\": write("\\\\")
      case "\u{08}": write("\\b")
      case "\u{0C}": write("\\f")
      case "\n": write("\\n")
      case "\r": write("\\r")
      case "\t": write("\\t")
      case "\u{00}"..<"\u{20}": writeEscape(UInt16(scalar.value))
      case "\u{20}"..<"\u{7F}": bytes.append(UInt8(scalar.value))
      default:
        if asciiOnly {
          for unit in String(scalar).utf16 { writeEscape(unit) }
        } else {
          bytes.append(contentsOf: String(scalar).utf8)
        }
      }
    }
  }

  /// Whether a byte stands for itself in a string, in every style.
  private static func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
  }

  private mutating func writeEscape(_ unit: UInt16) {
    let digits = String(unit, radix: 16)
    write("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits)
  }
}
