extension TemplateInterpreter {
  /// The longest `range`, as in Jinja's sandbox.
  static let maximumRange = 100_000

  func call(
    _ function: TemplateFunction, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue {
    let invalid = TemplateError.invalidOperation(
      line: line, operation: "arguments of \(function.rawValue)")
    switch function {
    case .range:
      let bounds = arguments.positional.compactMap(\.integer)
      guard bounds.count == arguments.positional.count, (1...3).contains(bounds.count) else {
        throw invalid
      }
      let start = bounds.count > 1 ? bounds[0] : 0
      let stop = bounds.count > 1 ? bounds[1] : bounds[0]
      let step = bounds.count > 2 ? bounds[2] : 1
      guard step != 0 else { throw invalid }
      var values: [TemplateValue] = []
      for value in stride(from: start, to: stop, by: step) {
        values.append(.int(value))
        if values.count > Self.maximumRange {
          throw TemplateError.limitExceeded(line: line, limit: "range \(Self.maximumRange)")
        }
      }
      return .list(values)
    case .namespace, .dict:
      var dictionary = TemplateDictionary()
      if let base = arguments.positional.first {
        guard case .dictionary(let entries) = base else { throw invalid }
        dictionary = entries
      }
      for argument in arguments.named { dictionary[.string(argument.name)] = argument.value }
      if function == .dict { return .dictionary(dictionary) }
      let namespace = TemplateNamespace()
      namespace.values = dictionary
      return .namespace(namespace)
    case .raiseException:
      throw TemplateError.raised(line: line, message: arguments[0, "message"]?.text ?? "")
    case .dateAndTime:
      guard let date else { throw TemplateError.dateMissing(line: line) }
      guard let format = arguments[0, "format"]?.string else { throw invalid }
      return .string(try date.formatted(format, line: line))
    }
  }
}

extension ChatTemplate.Date {
  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let weekdays = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  /// The date by a format of `strftime`, in English; the directives of a day only.
  fileprivate func formatted(_ format: String, line: Int) throws(TemplateError) -> String {
    func padded(_ number: Int, _ length: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, length - digits.utf8.count)) + digits
    }
    guard (1...12).contains(month), (1...31).contains(day), year > 0 else {
      throw TemplateError.invalidOperation(line: line, operation: "strftime_now")
    }
    var result = ""
    var rest = format.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "%", var directive = rest.popFirst() else {
        result.unicodeScalars.append(scalar)
        continue
      }
      let isUnpadded = directive == "-"
      if isUnpadded, let next = rest.popFirst() { directive = next }
      switch directive {
      case "Y": result += padded(year, 4)
      case "y": result += padded(year % 100, isUnpadded ? 0 : 2)
      case "m": result += padded(month, isUnpadded ? 0 : 2)
      case "d": result += padded(day, isUnpadded ? 0 : 2)
      case "B": result += Self.months[month - 1]
      case "b", "h": result += Self.months[month - 1].prefix(3)
      case "A": result += Self.weekdays[weekday]
      case "a": result += Self.weekdays[weekday].prefix(3)
      case "F": result += padded(year, 4) + "-" + padded(month, 2) + "-" + padded(day, 2)
      case "%": result += "%"
      default:
        throw TemplateError.unsupported(line: line, construct: "strftime_now %\(directive)")
      }
    }
    return result
  }

  /// 0 for Sunday (Sakamoto's method).
  private var weekday: Int {
    let offsets = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]
    let shifted = month < 3 ? year - 1 : year
    return (shifted + shifted / 4 - shifted / 100 + shifted / 400 + offsets[month - 1] + day) % 7
  }
}
