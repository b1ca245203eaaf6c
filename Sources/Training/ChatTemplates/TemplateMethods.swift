extension TemplateValue {
  /// What an error calls the value's type.
  var typeName: String {
    switch self {
    case .undefined(let name): "undefined \(name)"
    case .none: "none"
    case .bool: "bool"
    case .int: "int"
    case .double: "float"
    case .string: "string"
    case .list(_, let isTuple): isTuple ? "tuple" : "list"
    case .dictionary: "dict"
    case .namespace: "namespace"
    case .loop: "loop"
    case .macro, .function, .method: "function"
    }
  }

  static func methods(of value: TemplateValue) -> Set<String> {
    switch value {
    case .string: stringMethods
    case .list(_, let isTuple):
      isTuple
        ? ["index", "count"]
        : ["index", "count", "append", "extend", "insert", "pop", "remove", "sort", "reverse"]
    case .dictionary: ["get", "items", "keys", "values", "pop", "update", "setdefault", "copy"]
    default: []
    }
  }

  private static let stringMethods: Set<String> = [
    "startswith", "endswith", "split", "rsplit", "splitlines", "strip", "lstrip", "rstrip", "upper",
    "lower", "title", "capitalize", "replace", "find", "rfind", "index", "count", "join", "format",
    "removeprefix", "removesuffix", "isdigit", "isalpha", "isspace", "isupper", "islower", "zfill",
    "encode", "partition",
  ]
}

extension TemplateLoopState {
  /// `loop.index` and the like; nil for its methods.
  func attribute(_ name: String) -> TemplateValue? {
    switch name {
    case "index": .int(index + 1)
    case "index0": .int(index)
    case "revindex": .int(elements.count - index)
    case "revindex0": .int(elements.count - index - 1)
    case "first": .bool(index == 0)
    case "last": .bool(index == elements.count - 1)
    case "length": .int(elements.count)
    case "previtem": index > 0 ? elements[index - 1] : .undefined(name)
    case "nextitem": index + 1 < elements.count ? elements[index + 1] : .undefined(name)
    case "depth": .int(depth)
    case "depth0": .int(depth - 1)
    default: nil
    }
  }
}

extension TemplateInterpreter {
  func callMethod(
    _ name: String, of receiver: TemplateValue, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue {
    switch receiver {
    case .string(let string):
      if let value = try stringMethod(name, of: string, arguments, line: line) { return value }
    case .list(let elements, _):
      if name == "index" || name == "count", let wanted = arguments[0, "value"] {
        if name == "count" { return .int(elements.count { $0 == wanted }) }
        if let index = elements.firstIndex(of: wanted) { return .int(index) }
      }
    case .dictionary(let dictionary):
      switch name {
      case "get":
        if let key = arguments[0, "key"] {
          return dictionary[key] ?? arguments[1, "default"] ?? TemplateValue.none
        }
      case "items":
        return .list(dictionary.entries.map { .list([$0.key, $0.value], isTuple: true) })
      case "keys": return .list(dictionary.entries.map(\.key))
      case "values": return .list(dictionary.entries.map(\.value))
      case "copy": return receiver
      default: break
      }
    case .loop(let loop):
      if name == "cycle", !arguments.positional.isEmpty {
        return arguments.positional[loop.index % arguments.positional.count]
      }
    default: break
    }
    // Among them the methods that would change a list or dictionary.
    throw TemplateError.unsupported(line: line, construct: "\(receiver.typeName).\(name)")
  }

  private func stringMethod(
    _ name: String, of string: String, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue? {
    let first = arguments.positional.first
    let firstString = first?.string
    switch name {
    case "startswith", "endswith":
      let candidates = firstString.map { [$0] } ?? first?.elements?.compactMap(\.string)
      guard let candidates, arguments.positional.count == 1 else { return nil }
      return .bool(
        candidates.contains { part in
          name == "startswith"
            ? string.utf8.starts(with: part.utf8)
            : string.utf8.reversed().starts(with: part.utf8.reversed())
        })
    case "strip", "lstrip", "rstrip":
      return .string(
        string.trimmed(left: name != "rstrip", right: name != "lstrip", of: firstString))
    case "split": return try split(string, arguments, line: line)
    case "rsplit":
      guard let separator = firstString, !separator.isEmpty else { return nil }
      var parts = string.parts(separatedBy: separator, atMost: nil)
      if let limit = arguments[1, "maxsplit"]?.integer, limit >= 0, parts.count > limit + 1 {
        let head = parts.dropLast(limit).joined(separator: separator)
        parts = [head] + parts.suffix(limit)
      }
      return .list(parts.map { .string($0) })
    case "partition":
      guard let separator = firstString, !separator.isEmpty else { return nil }
      let parts = string.parts(separatedBy: separator, atMost: 1)
      let all = parts.count == 2 ? [parts[0], separator, parts[1]] : [string, "", ""]
      return .list(all.map { .string($0) }, isTuple: true)
    case "splitlines":
      var lines = string.unicodeScalars.split(omittingEmptySubsequences: false) { $0 == "\n" }
      if lines.last?.isEmpty == true { lines.removeLast() }
      return .list(lines.map { .string(String($0)) })
    case "upper": return .string(string.uppercased())
    case "lower": return .string(string.lowercased())
    case "capitalize": return .string(string.capitalizedAsPython)
    case "title": return .string(titled(string))
    case "replace":
      guard let old = firstString, let new = arguments[1, "new"]?.string else { return nil }
      let limit = arguments[2, "count"]?.integer
      return .string(
        string.replacing(scalars: old, with: new, atMost: limit.flatMap { $0 < 0 ? nil : $0 }))
    case "find", "index", "rfind":
      guard let part = firstString, arguments.positional.count == 1 else { return nil }
      var found = string.firstRange(ofScalars: part)
      while name == "rfind", let range = found, range.lowerBound < string.endIndex,
        let next = string.firstRange(
          ofScalars: part, from: string.unicodeScalars.index(after: range.lowerBound))
      {
        found = next
      }
      if found == nil, name == "index" { return nil }
      return .int(
        found.map {
          string.unicodeScalars.distance(from: string.startIndex, to: $0.lowerBound)
        } ?? -1)
    case "count":
      guard let part = firstString, !part.isEmpty else { return nil }
      return .int(string.parts(separatedBy: part, atMost: nil).count - 1)
    case "join":
      guard let strings = first?.elements?.map(\.string), !strings.contains(nil) else { return nil }
      return .string(strings.compactMap { $0 }.joined(separator: string))
    case "removeprefix":
      guard let part = firstString else { return nil }
      return .string(
        string.utf8.starts(with: part.utf8)
          ? String(string.utf8.dropFirst(part.utf8.count)) ?? string : string)
    case "removesuffix":
      guard let part = firstString else { return nil }
      return .string(
        string.utf8.reversed().starts(with: part.utf8.reversed())
          ? String(string.utf8.dropLast(part.utf8.count)) ?? string : string)
    case "isdigit": return .bool(all(string) { $0.properties.numericType == .decimal })
    case "isalpha": return .bool(all(string) { $0.properties.generalCategory.group == .letter })
    case "isspace": return .bool(all(string, \.isPythonWhitespace))
    case "isupper", "islower":
      let other = name == "isupper" ? string.uppercased() : string.lowercased()
      let hasCase = string.unicodeScalars.contains {
        $0.properties.isUppercase || $0.properties.isLowercase
      }
      return .bool(hasCase && other == string)
    default: return nil
    }
  }

  private func all(_ string: String, _ condition: (Unicode.Scalar) -> Bool) -> Bool {
    !string.isEmpty && string.unicodeScalars.allSatisfy(condition)
  }

  private func split(
    _ string: String, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue? {
    let limit = arguments[1, "maxsplit"]?.integer.flatMap { $0 < 0 ? nil : $0 }
    let parts: [String]
    switch arguments[0, "sep"] {
    case nil, TemplateValue.none?: parts = string.parts(separatedByWhitespaceAtMost: limit)
    case .string(let separator)? where !separator.isEmpty:
      parts = string.parts(separatedBy: separator, atMost: limit)
    default: return nil
    }
    return .list(parts.map { .string($0) })
  }

  /// Each run of letters with its first letter upper case, the rest lower case.
  func titled(_ string: String) -> String {
    var result = ""
    var isInWord = false
    for scalar in string.unicodeScalars {
      result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      isInWord = scalar.properties.isCased
    }
    return result
  }
}
