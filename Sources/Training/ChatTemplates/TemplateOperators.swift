import Foundation

extension TemplateInterpreter {
  /// The longest string or list that an operation may make.
  static let maximumLength = 1 << 22

  func combine(
    _ operation: TemplateOperator, _ left: TemplateValue, _ right: TemplateValue, line: Int
  ) throws(TemplateError) -> TemplateValue {
    if operation == .concatenate { return .string(left.text + right.text) }
    for operand in [left, right] {
      if case .undefined(let name) = operand {
        throw TemplateError.undefined(line: line, name: name)
      }
    }
    if let x = left.integer, let y = right.integer,
      let value = combine(operation, x, y)
    {
      return value
    }
    if let x = left.number, let y = right.number, let value = combine(operation, x, y) {
      return value
    }
    switch (operation, left, right) {
    case (.add, .string(let x), .string(let y)): return .string(x + y)
    case (.add, .list(let x, let xIsTuple), .list(let y, let yIsTuple)) where xIsTuple == yIsTuple:
      return .list(x + y, isTuple: xIsTuple)
    case (.multiply, .string(let string), _):
      if let count = right.integer {
        try check(string.utf8.count, times: count, line: line)
        return .string(String(repeating: string, count: max(0, count)))
      }
    case (.multiply, .list(let elements, let isTuple), _):
      if let count = right.integer {
        try check(elements.count, times: count, line: line)
        return .list(
          Array(repeatElement(elements, count: max(0, count)).joined()), isTuple: isTuple)
      }
    case (.multiply, _, .string), (.multiply, _, .list):
      if left.integer != nil { return try combine(operation, right, left, line: line) }
    case (.remainder, .string, _):
      throw TemplateError.unsupported(line: line, construct: "string % value")
    default: break
    }
    throw TemplateError.invalidOperation(
      line: line, operation: "\(left.typeName) \(operation.rawValue) \(right.typeName)")
  }

  private func check(_ length: Int, times count: Int, line: Int) throws(TemplateError) {
    if length > 0, count > Self.maximumLength / length {
      throw TemplateError.limitExceeded(line: line, limit: "length \(Self.maximumLength)")
    }
  }

  /// nil for a division by zero, a result that `Int` does not hold, and true division.
  private func combine(_ operation: TemplateOperator, _ x: Int, _ y: Int) -> TemplateValue? {
    func checked(_ result: (partialValue: Int, overflow: Bool)) -> TemplateValue? {
      result.overflow ? nil : .int(result.partialValue)
    }
    switch operation {
    case .add: return checked(x.addingReportingOverflow(y))
    case .subtract: return checked(x.subtractingReportingOverflow(y))
    case .multiply: return checked(x.multipliedReportingOverflow(by: y))
    case .floorDivide:
      guard y != 0, !(x == Int.min && y == -1) else { return nil }
      return .int(x / y - (x % y != 0 && (x < 0) != (y < 0) ? 1 : 0))
    case .remainder:
      guard y != 0, y != -1 else { return y == -1 ? .int(0) : nil }
      let rest = x % y
      return .int(rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest)
    case .power:
      guard y >= 0 else { return nil }
      var result = 1
      for _ in 0..<min(y, 64) {
        let (product, overflow) = result.multipliedReportingOverflow(by: x)
        if overflow { return nil }
        result = product
      }
      return y <= 64 ? .int(result) : nil
    case .divide, .concatenate: return nil
    }
  }

  /// nil for a division by zero.
  private func combine(_ operation: TemplateOperator, _ x: Double, _ y: Double) -> TemplateValue? {
    switch operation {
    case .add: return .double(x + y)
    case .subtract: return .double(x - y)
    case .multiply: return .double(x * y)
    case .divide: return y == 0 ? nil : .double(x / y)
    case .floorDivide: return y == 0 ? nil : .double((x / y).rounded(.down))
    case .remainder: return y == 0 ? nil : .double(x - y * (x / y).rounded(.down))
    case .power: return .double(pow(x, y))
    case .concatenate: return nil
    }
  }

  func compare(
    _ comparison: TemplateComparison, _ left: TemplateValue, _ right: TemplateValue, line: Int
  ) throws(TemplateError) -> Bool {
    func precedes(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateError) -> Bool {
      for operand in [a, b] {
        if case .undefined(let name) = operand {
          throw TemplateError.undefined(line: line, name: name)
        }
      }
      guard let result = a.precedes(b) else {
        throw TemplateError.invalidOperation(
          line: line, operation: "\(left.typeName) \(comparison.rawValue) \(right.typeName)")
      }
      return result
    }
    switch comparison {
    case .equal: return left == right
    case .notEqual: return left != right
    case .less: return try precedes(left, right)
    case .greater: return try precedes(right, left)
    case .lessOrEqual: return left == right ? true : try precedes(left, right)
    case .greaterOrEqual: return left == right ? true : try precedes(right, left)
    case .isIn: return try contains(left, in: right, line: line)
    case .isNotIn: return !(try contains(left, in: right, line: line))
    }
  }

  func contains(
    _ element: TemplateValue, in container: TemplateValue, line: Int
  ) throws(TemplateError) -> Bool {
    if case .string(let text) = container {
      guard let part = element.string else {
        throw TemplateError.invalidOperation(line: line, operation: "\(element.typeName) in string")
      }
      return text.firstRange(ofScalars: part) != nil
    }
    guard let elements = container.elements else {
      throw TemplateError.invalidOperation(line: line, operation: "in \(container.typeName)")
    }
    return elements.contains(element)
  }
}
