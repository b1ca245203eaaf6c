/// The arguments of a call, evaluated.
struct EvaluatedArguments {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []

  var isEmpty: Bool { positional.isEmpty && named.isEmpty }

  subscript(name: String) -> TemplateValue? { named.first { $0.name == name }?.value }

  /// The argument at `position`, or the one with `name`.
  subscript(position: Int, name: String) -> TemplateValue? {
    position < positional.count ? positional[position] : self[name]
  }
}

/// Evaluates expressions.
extension TemplateInterpreter {
  mutating func evaluate(
    _ expression: TemplateExpression, in scope: TemplateScope
  ) throws(TemplateError) -> TemplateValue {
    let line = expression.line
    try enter(line: line)
    defer { leave() }
    switch expression.kind {
    case .literal(let value): return value
    case .name(let name): return scope[name] ?? .undefined(name)
    case .list(let elements, let isTuple):
      var values: [TemplateValue] = []
      for element in elements { values.append(try evaluate(element, in: scope)) }
      return .list(values, isTuple: isTuple)
    case .dictionary(let entries):
      var dictionary = TemplateDictionary()
      for entry in entries {
        dictionary[try evaluate(entry.key, in: scope)] = try evaluate(entry.value, in: scope)
      }
      return .dictionary(dictionary)
    case .attribute(let base, let name):
      return try attribute(name, of: try evaluate(base, in: scope), line: line)
    case .item(let base, let key):
      return try item(
        try evaluate(key, in: scope), of: try evaluate(base, in: scope), line: line)
    case .slice(let base, let start, let stop, let step):
      var bounds: [Int?] = []
      for bound in [start, stop, step] {
        let value = try bound.map { bound throws(TemplateError) in try evaluate(bound, in: scope) }
        if let value, value != .none, value.integer == nil {
          throw TemplateError.invalidOperation(line: line, operation: "slice by \(value.typeName)")
        }
        bounds.append(value?.integer)
      }
      return try slice(
        try evaluate(base, in: scope), bounds[0], bounds[1], bounds[2] ?? 1, line: line)
    case .call(let callee, let arguments):
      let callee = try evaluate(callee, in: scope)
      return try call(callee, try evaluate(arguments, in: scope), line: line)
    case .filter(let base, let name, let arguments):
      return try applyFilter(
        name, to: try evaluate(base, in: scope), try evaluate(arguments, in: scope), line: line)
    case .test(let base, let name, let arguments, let isNegated):
      let value = try evaluate(base, in: scope)
      let holds = try test(name, value, try evaluate(arguments, in: scope), line: line)
      return .bool(holds != isNegated)
    case .negation(let operand): return .bool(!(try evaluate(operand, in: scope)).isTrue)
    case .minus(let operand):
      let value = try evaluate(operand, in: scope)
      if let integer = value.integer, integer != Int.min { return .int(-integer) }
      if case .double(let number) = value { return .double(-number) }
      throw TemplateError.invalidOperation(line: line, operation: "-\(value.typeName)")
    case .plus(let operand):
      let value = try evaluate(operand, in: scope)
      if let integer = value.integer { return .int(integer) }
      guard value.number != nil else {
        throw TemplateError.invalidOperation(line: line, operation: "+\(value.typeName)")
      }
      return value
    case .binary(let operation, let left, let right):
      return try combine(
        operation, try evaluate(left, in: scope), try evaluate(right, in: scope), line: line)
    case .comparison(let first, let rest):
      var left = try evaluate(first, in: scope)
      for (comparison, operand) in rest {
        let right = try evaluate(operand, in: scope)
        guard try compare(comparison, left, right, line: line) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .and(let left, let right):
      let value = try evaluate(left, in: scope)
      return value.isTrue ? try evaluate(right, in: scope) : value
    case .or(let left, let right):
      let value = try evaluate(left, in: scope)
      return value.isTrue ? value : try evaluate(right, in: scope)
    case .conditional(let value, let condition, let otherwise):
      if try evaluate(condition, in: scope).isTrue { return try evaluate(value, in: scope) }
      guard let otherwise else { return .undefined("if without else") }
      return try evaluate(otherwise, in: scope)
    }
  }

  mutating func evaluate(
    _ arguments: TemplateArguments, in scope: TemplateScope
  ) throws(TemplateError) -> EvaluatedArguments {
    var evaluated = EvaluatedArguments()
    for argument in arguments.positional {
      evaluated.positional.append(try evaluate(argument, in: scope))
    }
    for argument in arguments.named {
      evaluated.named.append((argument.name, try evaluate(argument.value, in: scope)))
    }
    return evaluated
  }

  private mutating func call(
    _ callee: TemplateValue, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue {
    switch callee {
    case .macro(let closure): return try call(closure, arguments, line: line)
    case .function(let function): return try call(function, arguments, line: line)
    case .method(let receiver, let name):
      return try callMethod(name, of: receiver, arguments, line: line)
    case .undefined(let name): throw TemplateError.undefined(line: line, name: name)
    default:
      throw TemplateError.invalidOperation(line: line, operation: "call of \(callee.typeName)")
    }
  }

  // MARK: - Attributes and items

  /// `value.name`: a method, an entry of that name, or undefined.
  func attribute(
    _ name: String, of value: TemplateValue, line: Int
  ) throws(TemplateError) -> TemplateValue {
    switch value {
    case .undefined(let base): throw TemplateError.undefined(line: line, name: base)
    case .namespace(let namespace):
      return namespace.values[.string(name)] ?? .undefined(name)
    case .loop(let loop):
      return loop.attribute(name) ?? (name == "cycle" ? .method(value, name) : .undefined(name))
    default: break
    }
    if TemplateValue.methods(of: value).contains(name) { return .method(value, name) }
    if case .dictionary(let dictionary) = value, let entry = dictionary[.string(name)] {
      return entry
    }
    return .undefined(name)
  }

  /// `value[key]`: an entry or element, or else an attribute of that name.
  func item(
    _ key: TemplateValue, of value: TemplateValue, line: Int
  ) throws(TemplateError) -> TemplateValue {
    switch value {
    case .undefined(let name): throw TemplateError.undefined(line: line, name: name)
    case .dictionary(let dictionary): if let entry = dictionary[key] { return entry }
    case .list(let elements, _):
      if let index = key.integer {
        let position = index < 0 ? index + elements.count : index
        return elements.indices.contains(position) ? elements[position] : .undefined("\(index)")
      }
    case .string(let string):
      if let index = key.integer {
        let scalars = Array(string.unicodeScalars)
        let position = index < 0 ? index + scalars.count : index
        return scalars.indices.contains(position)
          ? .string(String(scalars[position])) : .undefined("\(index)")
      }
    default: break
    }
    guard let name = key.string else { return .undefined(key.text) }
    return try attribute(name, of: value, line: line)
  }

  private func slice(
    _ value: TemplateValue, _ start: Int?, _ stop: Int?, _ step: Int, line: Int
  ) throws(TemplateError) -> TemplateValue {
    guard step != 0 else {
      throw TemplateError.invalidOperation(line: line, operation: "slice with step 0")
    }
    switch value {
    case .list(let elements, let isTuple):
      return .list(
        sliceIndices(elements.count, start, stop, step).map { elements[$0] }, isTuple: isTuple)
    case .string(let string):
      let scalars = Array(string.unicodeScalars)
      return .string(
        String(scalars: sliceIndices(scalars.count, start, stop, step).map { scalars[$0] }))
    case .undefined(let name): throw TemplateError.undefined(line: line, name: name)
    default:
      throw TemplateError.invalidOperation(line: line, operation: "slice of \(value.typeName)")
    }
  }

  /// The indices of Python's slices.
  private func sliceIndices(
    _ count: Int, _ start: Int?, _ stop: Int?, _ step: Int
  ) -> StrideTo<Int> {
    func clamped(_ bound: Int?, _ fallback: Int) -> Int {
      guard let bound else { return fallback }
      let position = bound < 0 ? bound + count : bound
      return step > 0 ? min(max(position, 0), count) : min(max(position, -1), count - 1)
    }
    return step > 0
      ? Swift.stride(from: clamped(start, 0), to: clamped(stop, count), by: step)
      : Swift.stride(from: clamped(start, count - 1), to: clamped(stop, -1), by: step)
  }
}
