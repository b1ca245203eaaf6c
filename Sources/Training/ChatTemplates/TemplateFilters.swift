import Safetensors

extension TemplateInterpreter {
  /// `value | name(arguments)`.
  func applyFilter(
    _ name: String, to value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue {
    switch name {
    case "default", "d":
      let replaces =
        arguments[1, "boolean"]?.isTrue == true ? !value.isTrue : value.isUndefined
      return replaces ? arguments[0, "default_value"] ?? .string("") : value
    case "string": return .string(value.text)
    case "trim":
      return .string(
        value.text.trimmed(left: true, right: true, of: arguments[0, "chars"]?.string))
    case "upper": return .string(value.text.uppercased())
    case "lower": return .string(value.text.lowercased())
    case "capitalize": return .string(value.text.capitalizedAsPython)
    case "title": return .string(wordsCapitalized(value.text))
    case "safe": return value
    case "escape", "e": return .string(escaped(value.text))
    case "replace":
      guard let old = arguments[0, "old"], let new = arguments[1, "new"] else { break }
      return .string(
        value.text.replacing(
          scalars: old.text, with: new.text, atMost: arguments[2, "count"]?.integer))
    case "indent": return .string(indented(value.text, arguments))
    case "int": return integer(of: value) ?? arguments[0, "default"] ?? .int(0)
    case "float":
      let number = value.number ?? value.string.flatMap { Double($0) }
      return number.map { .double($0) } ?? arguments[0, "default"] ?? .double(0)
    case "abs":
      if let integer = value.integer, integer != Int.min { return .int(abs(integer)) }
      if let number = value.number { return .double(abs(number)) }
    case "round": return try rounded(value, arguments, line: line)
    case "tojson": return .string(try json(of: value, arguments, line: line))
    case "items":
      if case .undefined = value { return .list([]) }
      if case .dictionary = value { return try callMethod(name, of: value, arguments, line: line) }
    default:
      if let result = try applySequenceFilter(name, to: value, arguments, line: line) {
        return result
      }
    }
    throw TemplateError.invalidOperation(line: line, operation: "\(value.typeName) | \(name)")
  }

  /// Unlike the method `title`, with words after white space, hyphens and opening brackets only.
  private func wordsCapitalized(_ text: String) -> String {
    var result = ""
    var startsWord = true
    for scalar in text.unicodeScalars {
      result += startsWord ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
      startsWord = scalar.isPythonWhitespace || "-({[<".unicodeScalars.contains(scalar)
    }
    return result
  }

  private func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "'": result += "&#39;"
      case "\"": result += "&#34;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private func indented(_ text: String, _ arguments: EvaluatedArguments) -> String {
    let width = arguments[0, "width"]
    let margin = width?.string ?? String(repeating: " ", count: max(0, width?.integer ?? 4))
    let indentsFirst = arguments[1, "first"]?.isTrue ?? false
    let indentsBlank = arguments[2, "blank"]?.isTrue ?? false
    let lines = text.unicodeScalars.split(omittingEmptySubsequences: false) { $0 == "\n" }
    return lines.enumerated().map { index, line in
      let isIndented = index == 0 ? indentsFirst : indentsBlank || !line.isEmpty
      return (isIndented ? margin : "") + String(line)
    }.joined(separator: "\n")
  }

  private func integer(of value: TemplateValue) -> TemplateValue? {
    if let integer = value.integer { return .int(integer) }
    let number =
      value.number ?? value.string.flatMap { Double($0.trimmed(left: true, right: true, of: nil)) }
    return number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .int($0) }
  }

  private func rounded(
    _ value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue {
    let precision = arguments[0, "precision"]?.integer ?? 0
    guard let number = value.number, precision == 0 else {
      throw TemplateError.unsupported(line: line, construct: "round(\(precision))")
    }
    switch arguments[1, "method"]?.string ?? "common" {
    case "common":
      if value.integer != nil { return value }
      return .double(number.rounded(.toNearestOrEven))
    case "ceil": return .double(number.rounded(.up))
    case "floor": return .double(number.rounded(.down))
    default: throw TemplateError.invalidOperation(line: line, operation: "round")
    }
  }

  /// Python's `json.dumps` with `ensure_ascii` off.
  private func json(
    of value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> String {
    guard let json = value.json else {
      throw TemplateError.invalidOperation(line: line, operation: "\(value.typeName) | tojson")
    }
    var style = JSONStyle.pythonLine
    if let indent = arguments[1, "indent"]?.integer { style = .python(indent: indent) }
    if let separators = arguments[2, "separators"], separators != .none {
      let texts = separators.elements?.compactMap(\.string)
      switch (texts, style) {
      case ([",", ":"], .pythonLine): style = .compact
      case ([", ", ": "], .pythonLine), ([",", ": "], .python): break
      default: throw TemplateError.unsupported(line: line, construct: "tojson(separators)")
      }
    }
    return json.serialized(
      style: style, sortKeys: arguments[3, "sort_keys"]?.isTrue ?? false,
      asciiOnly: arguments[0, "ensure_ascii"]?.isTrue ?? false)
  }
}
