extension TemplateInterpreter {
  /// `value is name(arguments)`.
  func test(
    _ name: String, _ value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> Bool {
    func operand() throws(TemplateError) -> TemplateValue {
      guard let operand = arguments.positional.first else {
        throw TemplateError.invalidOperation(line: line, operation: "is \(name)")
      }
      return operand
    }
    func integer(_ value: TemplateValue) throws(TemplateError) -> Int {
      guard let integer = value.integer else {
        throw TemplateError.invalidOperation(line: line, operation: "is \(name)")
      }
      return integer
    }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": if case .none = value { return true } else { return false }
    case "string": return value.string != nil
    case "boolean": if case .bool = value { return true } else { return false }
    case "true": if case .bool(true) = value { return true } else { return false }
    case "false": if case .bool(false) = value { return true } else { return false }
    case "integer": if case .int = value { return true } else { return false }
    case "float": if case .double = value { return true } else { return false }
    case "number": return value.number != nil
    case "mapping": if case .dictionary = value { return true } else { return false }
    case "iterable": return value.elements != nil
    case "sequence":
      switch value {
      case .string, .list, .dictionary, .undefined: return true
      default: return false
      }
    case "callable":
      switch value {
      case .macro, .function, .method: return true
      default: return false
      }
    case "odd": return try integer(value) % 2 != 0
    case "even": return try integer(value) % 2 == 0
    case "divisibleby":
      let divisor = try integer(try operand())
      guard divisor != 0 else {
        throw TemplateError.invalidOperation(line: line, operation: "is divisibleby 0")
      }
      return try integer(value) % divisor == 0
    case "lower": return value.text == value.text.lowercased()
    case "upper": return value.text == value.text.uppercased()
    case "in": return try contains(value, in: try operand(), line: line)
    case "equalto", "eq", "sameas": return value == (try operand())
    case "ne": return value != (try operand())
    case "lt", "lessthan": return try compare(.less, value, try operand(), line: line)
    case "le": return try compare(.lessOrEqual, value, try operand(), line: line)
    case "gt", "greaterthan": return try compare(.greater, value, try operand(), line: line)
    case "ge": return try compare(.greaterOrEqual, value, try operand(), line: line)
    default: throw TemplateError.unsupported(line: line, construct: "is \(name)")
    }
  }
}
