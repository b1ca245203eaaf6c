/// Filters of lists.
extension TemplateInterpreter {
  /// nil where the value has no elements for the filter.
  func applySequenceFilter(
    _ name: String, to value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue? {
    let known: Set<String> = [
      "length", "count", "first", "last", "list", "join", "reverse", "unique", "sum", "min", "max",
      "sort", "map", "select", "reject", "selectattr", "rejectattr", "dictsort",
    ]
    guard known.contains(name) else {
      throw TemplateError.unsupported(line: line, construct: "filter \(name)")
    }
    guard let elements = value.elements else { return nil }
    switch name {
    case "length", "count": return .int(elements.count)
    case "first": return elements.first ?? .undefined("first")
    case "last": return elements.last ?? .undefined("last")
    case "list": return .list(elements)
    case "reverse":
      if value.string != nil { return .string(elements.reversed().map(\.text).joined()) }
      return .list(elements.reversed())
    case "unique":
      var seen: [TemplateValue] = []
      return .list(
        elements.filter { element in
          let key = caseFolded(element, arguments)
          if seen.contains(key) { return false }
          seen.append(key)
          return true
        })
    case "join":
      let parts = try mapped(elements, attribute: arguments[1, "attribute"], line: line)
      return .string(parts.map(\.text).joined(separator: arguments[0, "d"]?.text ?? ""))
    case "sum":
      var sum = arguments[1, "start"] ?? .int(0)
      for element in try mapped(elements, attribute: arguments[0, "attribute"], line: line) {
        sum = try combine(.add, sum, element, line: line)
      }
      return sum
    case "min", "max":
      guard var best = elements.first else { return .undefined(name) }
      for element in elements.dropFirst() {
        let (key, bestKey) = (caseFolded(element, arguments), caseFolded(best, arguments))
        if try compare(name == "min" ? .less : .greater, key, bestKey, line: line) {
          best = element
        }
      }
      return best
    case "sort":
      let keys = try mapped(elements, attribute: arguments[2, "attribute"], line: line)
      let isReversed = arguments[0, "reverse"]?.isTrue ?? false
      let ignoresCase = !(arguments[1, "case_sensitive"]?.isTrue ?? false)
      let order = try sorted(keys, ignoresCase: ignoresCase, isReversed: isReversed, line: line)
      return .list(order.map { elements[$0] })
    case "dictsort":
      guard case .dictionary(let dictionary) = value, arguments.isEmpty else { return nil }
      let order = try sorted(elements, ignoresCase: true, isReversed: false, line: line)
      return .list(
        order.map { index in
          let entry = dictionary.entries[index]
          return .list([entry.key, entry.value], isTuple: true)
        })
    case "map":
      if let attribute = arguments["attribute"] {
        return .list(
          try mapped(
            elements, attribute: attribute, default: arguments["default"], line: line))
      }
      guard let filter = arguments.positional.first?.string else { return nil }
      let rest = EvaluatedArguments(
        positional: Array(arguments.positional.dropFirst()), named: arguments.named)
      var results: [TemplateValue] = []
      for element in elements {
        results.append(try applyFilter(filter, to: element, rest, line: line))
      }
      return .list(results)
    default: return .list(try selected(elements, name, arguments, line: line))
    }
  }

  /// A string in lower case, unless the filter is told to heed case.
  private func caseFolded(
    _ value: TemplateValue, _ arguments: EvaluatedArguments
  ) -> TemplateValue {
    if arguments[0, "case_sensitive"]?.isTrue == true { return value }
    return value.string.map { .string($0.lowercased()) } ?? value
  }

  /// `select`, `reject`, `selectattr`, `rejectattr`.
  private func selected(
    _ elements: [TemplateValue], _ name: String, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> [TemplateValue] {
    let usesAttribute = name.hasSuffix("attr")
    let subjects = try mapped(
      elements, attribute: usesAttribute ? arguments.positional.first : nil, line: line)
    let rest = arguments.positional.dropFirst(usesAttribute ? 1 : 0)
    var kept: [TemplateValue] = []
    for (element, subject) in zip(elements, subjects) {
      let holds =
        try rest.first?.string.map { test throws(TemplateError) in
          try self.test(
            test, subject, EvaluatedArguments(positional: Array(rest.dropFirst())), line: line)
        } ?? subject.isTrue
      if holds == name.hasPrefix("select") { kept.append(element) }
    }
    return kept
  }

  /// The attribute `a` or `a.b` of each element; the elements themselves without one.
  private func mapped(
    _ elements: [TemplateValue], attribute: TemplateValue?, default fallback: TemplateValue? = nil,
    line: Int
  ) throws(TemplateError) -> [TemplateValue] {
    guard let attribute, attribute != .none else { return elements }
    let path = attribute.text.parts(separatedBy: ".", atMost: nil).map { part in
      Int(part).map { TemplateValue.int($0) } ?? .string(part)
    }
    var values: [TemplateValue] = []
    for element in elements {
      var value = element
      for key in path { value = try item(key, of: value, line: line) }
      values.append(value.isUndefined ? fallback ?? value : value)
    }
    return values
  }

  /// The indices of `keys` in their order, equal ones as they stand.
  private func sorted(
    _ keys: [TemplateValue], ignoresCase: Bool, isReversed: Bool, line: Int
  ) throws(TemplateError) -> [Int] {
    let keys = keys.map { key in
      ignoresCase ? key.string.map { TemplateValue.string($0.lowercased()) } ?? key : key
    }
    // Insertion, so that a comparison may throw; templates sort a handful.
    var order: [Int] = []
    for index in keys.indices {
      var place = order.count
      while place > 0 {
        let (before, after) = (keys[order[place - 1]], keys[index])
        guard
          try compare(.less, isReversed ? before : after, isReversed ? after : before, line: line)
        else { break }
        place -= 1
      }
      order.insert(index, at: place)
    }
    return order
  }
}
