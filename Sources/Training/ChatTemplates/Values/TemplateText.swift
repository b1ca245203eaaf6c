import Safetensors

extension TemplateValue {
  /// Python's `str()`: what `{{ value }}` puts out.
  var text: String {
    switch self {
    case .undefined: ""
    case .string(let string): string
    default: representation
    }
  }

  /// Python's `repr()`.
  var representation: String {
    switch self {
    case .undefined: return "Undefined"
    case .none: return "None"
    case .bool(let value): return value ? "True" : "False"
    case .int(let value): return String(value)
    case .double(let value):
      if value.isInfinite { return value < 0 ? "-inf" : "inf" }
      return value.isNaN ? "nan" : JSONNumber(value).lexeme
    case .string(let string): return Self.quoted(string)
    case .list(let elements, let isTuple):
      let list = elements.map(\.representation).joined(separator: ", ")
      if !isTuple { return "[" + list + "]" }
      return elements.count == 1 ? "(" + list + ",)" : "(" + list + ")"
    case .dictionary(let dictionary):
      let entries = dictionary.entries.map {
        $0.key.representation + ": " + $0.value.representation
      }
      return "{" + entries.joined(separator: ", ") + "}"
    case .namespace(let namespace):
      return "<Namespace " + TemplateValue.dictionary(namespace.values).representation + ">"
    case .loop(let loop): return "<LoopContext \(loop.index + 1)/\(loop.elements.count)>"
    case .macro(let closure): return "<Macro '\(closure.macro.name)'>"
    case .function(let function): return "<function \(function.rawValue)>"
    case .method(_, let name): return "<method \(name)>"
    }
  }

  /// A string as Python's `repr` quotes it.
  private static func quoted(_ string: String) -> String {
    let scalars = string.unicodeScalars
    let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
    var result = String.UnicodeScalarView([quote])
    for scalar in scalars {
      switch scalar {
      case quote, "\\": result.append(contentsOf: ["\\", scalar])
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      default:
        if isPrintable(scalar) {
          result.append(scalar)
        } else {
          let length = scalar.value < 0x100 ? 2 : scalar.value < 0x10000 ? 4 : 8
          let digits = String(scalar.value, radix: 16)
          let zeros = String(repeating: "0", count: length - digits.utf8.count)
          let letter = length == 2 ? "x" : length == 4 ? "u" : "U"
          result.append(contentsOf: ("\\" + letter + zeros + digits).unicodeScalars)
        }
      }
    }
    result.append(quote)
    return String(result)
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory.group {
    case .other: false
    case .separator: scalar == " "
    default: true
    }
  }

  /// The value as JSON; nil where it, or a part of it, is none.
  var json: JSONValue? {
    switch self {
    case .none: return .null
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .double(let value): return .double(value)
    case .string(let string): return .string(string)
    case .list(let elements, _):
      let values = elements.compactMap(\.json)
      return values.count == elements.count ? .array(values) : nil
    case .dictionary(let dictionary):
      var entries: [JSONObject.Entry] = []
      for entry in dictionary.entries {
        guard let value = entry.value.json else { return nil }
        // Python writes other scalars as keys, in JSON's words.
        guard let key = entry.key.string ?? entry.key.json?.serialized() else { return nil }
        entries.append(JSONObject.Entry(key: key, value: value))
      }
      return .object(JSONObject(entries))
    default: return nil
    }
  }
}
