/// Expressions, from the weakest operator to the strongest: `if else`, `or`, `and`, `not`, comparisons,
/// `+ -`, `~`, `* / // %`, `**`, signs, then attributes, items, calls, filters and tests.
extension TemplateParser {
  /// Expressions with commas between them, a tuple if there is a comma.
  mutating func readTuple(allowsConditional: Bool = true) throws(TemplateError)
    -> TemplateExpression
  {
    let line = line
    func read(_ parser: inout TemplateParser) throws(TemplateError) -> TemplateExpression {
      allowsConditional ? try parser.readExpression() : try parser.readOr()
    }
    var elements = [try read(&self)]
    var isTuple = false
    while take(symbol: ",") {
      isTuple = true
      switch current.kind {
      case .variableEnd, .blockEnd, .symbol(")"): continue
      default: elements.append(try read(&self))
      }
    }
    return isTuple
      ? TemplateExpression(kind: .list(elements, isTuple: true), line: line) : elements[0]
  }

  mutating func readExpression() throws(TemplateError) -> TemplateExpression {
    try enter()
    defer { depth -= 1 }
    var expression = try readOr()
    var count = 0
    while current.kind == .name("if") {
      try checkChain(&count)
      let line = line
      position += 1
      let condition = try readOr()
      let otherwise = take(name: "else") ? try readExpression() : nil
      expression = TemplateExpression(
        kind: .conditional(expression, condition: condition, otherwise: otherwise), line: line)
    }
    return expression
  }

  fileprivate mutating func readOr() throws(TemplateError) -> TemplateExpression {
    var left = try readAnd()
    var count = 0
    while current.kind == .name("or") {
      try checkChain(&count)
      let line = line
      position += 1
      left = TemplateExpression(kind: .or(left, try readAnd()), line: line)
    }
    return left
  }

  private mutating func readAnd() throws(TemplateError) -> TemplateExpression {
    var left = try readNot()
    var count = 0
    while current.kind == .name("and") {
      try checkChain(&count)
      let line = line
      position += 1
      left = TemplateExpression(kind: .and(left, try readNot()), line: line)
    }
    return left
  }

  private mutating func readNot() throws(TemplateError) -> TemplateExpression {
    let line = line
    guard take(name: "not") else { return try readComparison() }
    try enter()
    defer { depth -= 1 }
    return TemplateExpression(kind: .negation(try readNot()), line: line)
  }

  private mutating func readComparison() throws(TemplateError) -> TemplateExpression {
    let line = line
    let first = try readOperators(["+", "-"]) { parser throws(TemplateError) in
      try parser.readConcatenation()
    }
    var rest: [(TemplateComparison, TemplateExpression)] = []
    while let comparison = takeComparison() {
      rest.append(
        (
          comparison,
          try readOperators(["+", "-"]) { parser throws(TemplateError) in
            try parser.readConcatenation()
          }
        ))
    }
    return rest.isEmpty
      ? first : TemplateExpression(kind: .comparison(first, rest), line: line)
  }

  private mutating func takeComparison() -> TemplateComparison? {
    switch current.kind {
    case .symbol(let symbol):
      guard let comparison = TemplateComparison(rawValue: symbol) else { return nil }
      position += 1
      return comparison
    case .name("in"):
      position += 1
      return .isIn
    case .name("not") where tokens[position + 1].kind == .name("in"):
      position += 2
      return .isNotIn
    default: return nil
    }
  }

  private mutating func readConcatenation() throws(TemplateError) -> TemplateExpression {
    try readOperators(["~"]) { parser throws(TemplateError) in
      try parser.readOperators(["*", "/", "//", "%"]) { parser throws(TemplateError) in
        try parser.readOperators(["**"]) { parser throws(TemplateError) in
          try parser.readUnary(withFilters: true)
        }
      }
    }
  }

  /// Operands with any of `symbols` between them, from left to right.
  private mutating func readOperators(
    _ symbols: [String],
    _ readOperand: (inout TemplateParser) throws(TemplateError) -> TemplateExpression
  ) throws(TemplateError) -> TemplateExpression {
    var left = try readOperand(&self)
    var count = 0
    while case .symbol(let symbol) = current.kind, symbols.contains(symbol),
      let operation = TemplateOperator(rawValue: symbol)
    {
      try checkChain(&count)
      let line = line
      position += 1
      left = TemplateExpression(kind: .binary(operation, left, try readOperand(&self)), line: line)
    }
    return left
  }

  /// Counts a link of a chain, which becomes a level of the tree.
  private func checkChain(_ count: inout Int) throws(TemplateError) {
    count += 1
    if count > Self.maximumChain {
      throw TemplateError.limitExceeded(line: line, limit: "chain of \(Self.maximumChain)")
    }
  }

  private mutating func readUnary(withFilters: Bool) throws(TemplateError) -> TemplateExpression {
    try enter()
    defer { depth -= 1 }
    let line = line
    var expression: TemplateExpression
    if take(symbol: "-") {
      expression = TemplateExpression(kind: .minus(try readUnary(withFilters: false)), line: line)
    } else if take(symbol: "+") {
      expression = TemplateExpression(kind: .plus(try readUnary(withFilters: false)), line: line)
    } else {
      expression = try readPrimary()
    }
    expression = try readPostfix(of: expression)
    return withFilters ? try readFiltersAndTests(of: expression) : expression
  }

  private mutating func readPrimary() throws(TemplateError) -> TemplateExpression {
    let token = current
    position += 1
    let kind: TemplateExpression.Kind
    switch token.kind {
    case .name("true"), .name("True"): kind = .literal(.bool(true))
    case .name("false"), .name("False"): kind = .literal(.bool(false))
    case .name("none"), .name("None"): kind = .literal(.none)
    case .name(let name): kind = .name(name)
    case .integer(let value): kind = .literal(.int(value))
    case .float(let value): kind = .literal(.double(value))
    case .string(var text):
      // Strings side by side are one.
      while case .string(let more) = current.kind {
        text += more
        position += 1
      }
      kind = .literal(.string(text))
    case .symbol("("):
      if take(symbol: ")") {
        kind = .list([], isTuple: true)
      } else {
        let expression = try readTuple()
        try expect(.symbol(")"))
        return expression
      }
    case .symbol("["): kind = .list(try readList(), isTuple: false)
    case .symbol("{"): kind = .dictionary(try readDictionary())
    default: throw unexpected(token)
    }
    return TemplateExpression(kind: kind, line: token.line)
  }

  private mutating func readList() throws(TemplateError) -> [TemplateExpression] {
    var elements: [TemplateExpression] = []
    while !take(symbol: "]") {
      if !elements.isEmpty {
        try expect(.symbol(","))
        if take(symbol: "]") { break }
      }
      elements.append(try readExpression())
    }
    return elements
  }

  private mutating func readDictionary() throws(TemplateError) -> [(
    key: TemplateExpression, value: TemplateExpression
  )] {
    var entries: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !take(symbol: "}") {
      if !entries.isEmpty {
        try expect(.symbol(","))
        if take(symbol: "}") { break }
      }
      let key = try readExpression()
      try expect(.symbol(":"))
      entries.append((key, try readExpression()))
    }
    return entries
  }

  // MARK: - Postfix

  private mutating func readPostfix(
    of base: TemplateExpression
  ) throws(TemplateError) -> TemplateExpression {
    var expression = base
    var count = 0
    while true {
      let line = line
      try checkChain(&count)
      if take(symbol: ".") {
        if case .integer(let index) = current.kind {
          position += 1
          let literal = TemplateExpression(kind: .literal(.int(index)), line: line)
          expression = TemplateExpression(kind: .item(expression, literal), line: line)
        } else {
          expression = TemplateExpression(kind: .attribute(expression, try readName()), line: line)
        }
      } else if take(symbol: "[") {
        expression = TemplateExpression(kind: try readSubscript(of: expression), line: line)
      } else if current.kind == .symbol("(") {
        expression = TemplateExpression(kind: .call(expression, try readArguments()), line: line)
      } else {
        return expression
      }
    }
  }

  private mutating func readSubscript(
    of base: TemplateExpression
  ) throws(TemplateError) -> TemplateExpression.Kind {
    var bounds: [TemplateExpression?] = [nil]
    while !take(symbol: "]") {
      if take(symbol: ":") {
        bounds.append(nil)
      } else if let last = bounds.last, last == nil {
        bounds[bounds.count - 1] = try readTuple()
      } else {
        throw unexpected(current)
      }
    }
    if bounds.count == 1, let index = bounds[0] { return .item(base, index) }
    guard (2...3).contains(bounds.count) else { throw unexpected(current) }
    return .slice(
      base, start: bounds[0], stop: bounds[1], step: bounds.count == 3 ? bounds[2] : nil)
  }

  private mutating func readFiltersAndTests(
    of base: TemplateExpression
  ) throws(TemplateError) -> TemplateExpression {
    var expression = base
    var count = 0
    while true {
      let line = line
      try checkChain(&count)
      if take(symbol: "|") {
        let call = try readFilterCall()
        expression = TemplateExpression(
          kind: .filter(expression, name: call.name, call.arguments), line: line)
      } else if take(name: "is") {
        let isNegated = take(name: "not")
        let name = try readName()
        expression = TemplateExpression(
          kind: .test(expression, name: name, try readTestArguments(), isNegated: isNegated),
          line: line)
      } else if current.kind == .symbol("(") {
        // A call of what a filter gives.
        expression = TemplateExpression(kind: .call(expression, try readArguments()), line: line)
      } else {
        return expression
      }
    }
  }

  /// A test takes arguments in parentheses, or one without.
  private mutating func readTestArguments() throws(TemplateError) -> TemplateArguments {
    switch current.kind {
    case .symbol("("): return try readArguments()
    case .name("else"), .name("or"), .name("and"), .name("if"), .name("is"), .name("not"),
      .name("in"):
      return TemplateArguments()
    case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
      return TemplateArguments(positional: [try readPostfix(of: try readPrimary())])
    default: return TemplateArguments()
    }
  }

  private mutating func readFilterCall() throws(TemplateError) -> TemplateFilterCall {
    let name = try readName()
    let arguments = current.kind == .symbol("(") ? try readArguments() : TemplateArguments()
    return TemplateFilterCall(name: name, arguments: arguments)
  }

  /// `name(…) | name(…)`; with `afterBar`, a bar comes first.
  mutating func readFilterCalls(afterBar: Bool = false) throws(TemplateError)
    -> [TemplateFilterCall]
  {
    if afterBar { try expect(.symbol("|")) }
    var calls = [try readFilterCall()]
    while take(symbol: "|") { calls.append(try readFilterCall()) }
    return calls
  }

  private mutating func readArguments() throws(TemplateError) -> TemplateArguments {
    try expect(.symbol("("))
    var arguments = TemplateArguments()
    var isFirst = true
    while !take(symbol: ")") {
      if !isFirst {
        try expect(.symbol(","))
        if take(symbol: ")") { break }
      }
      isFirst = false
      if current.kind == .symbol("*") || current.kind == .symbol("**") {
        throw TemplateError.unsupported(line: line, construct: "*arguments")
      }
      if case .name(let name) = current.kind, tokens[position + 1].kind == .symbol("=") {
        position += 2
        arguments.named.append((name, try readExpression()))
      } else {
        arguments.positional.append(try readExpression())
      }
    }
    return arguments
  }
}
