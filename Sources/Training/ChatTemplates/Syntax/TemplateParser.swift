/// Reads the statements of a template.
struct TemplateParser {
  var tokens: [TemplateToken]
  var position = 0
  var depth = 0

  /// How deep statements and expressions may nest.
  static let maximumDepth = 100
  /// How many operators of one strength, or attributes and filters, may follow each other.
  static let maximumChain = 200

  static func parse(_ template: String) throws(TemplateError) -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: template))
    let (statements, end) = try parser.readStatements(until: [])
    if let end { throw TemplateError.syntax(line: parser.line, found: end) }
    return statements
  }

  /// Reads up to a block with one of the names `ends`, and past that name.
  ///
  /// - Returns: the statements and the name; nil at the end of the template.
  private mutating func readStatements(
    until ends: Set<String>
  ) throws(TemplateError) -> ([TemplateStatement], end: String?) {
    try enter()
    defer { depth -= 1 }
    var statements: [TemplateStatement] = []
    while true {
      let token = current
      position += 1
      func append(_ kind: TemplateStatement.Kind) {
        statements.append(TemplateStatement(kind: kind, line: token.line))
      }
      switch token.kind {
      case .text(let text): append(.text(text))
      case .variableBegin:
        append(.output(try readTuple()))
        try expect(.variableEnd)
      case .blockBegin:
        let name = try readName()
        if ends.contains(name) { return (statements, name) }
        append(try readStatement(name))
        try expect(.blockEnd)
      case .end:
        position -= 1
        if let end = ends.sorted().first {
          throw TemplateError.syntax(line: token.line, found: "missing \(end)")
        }
        return (statements, nil)
      default: throw unexpected(token)
      }
    }
  }

  /// A statement after its name, up to but without the end of its last block.
  private mutating func readStatement(_ name: String) throws(TemplateError)
    -> TemplateStatement.Kind
  {
    switch name {
    case "if": return try readCondition()
    case "for": return try readLoop()
    case "set": return try readSet()
    case "macro": return try readMacro()
    case "with": return try readWith()
    case "filter":
      let filters = try readFilterCalls()
      return .filterBlock(filters, body: try readBody(until: "endfilter"))
    case "generation": return .generation(try readBody(until: "endgeneration"))
    case "break": return .breakLoop
    case "continue": return .continueLoop
    case "block", "call", "do", "extends", "from", "import", "include", "trans", "autoescape":
      throw TemplateError.unsupported(line: line, construct: name)
    default: throw TemplateError.syntax(line: line, found: name)
    }
  }

  /// The body of a block: its begin tag's end, the statements, the name of its end tag.
  private mutating func readBody(until end: String) throws(TemplateError) -> [TemplateStatement] {
    try expect(.blockEnd)
    return try readStatements(until: [end]).0
  }

  private mutating func readCondition() throws(TemplateError) -> TemplateStatement.Kind {
    var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
    while true {
      let condition = try readTuple()
      try expect(.blockEnd)
      let (body, end) = try readStatements(until: ["elif", "else", "endif"])
      branches.append((condition, body))
      if end == "elif" { continue }
      let otherwise = end == "else" ? try readBody(until: "endif") : []
      return .condition(branches, otherwise: otherwise)
    }
  }

  private mutating func readLoop() throws(TemplateError) -> TemplateStatement.Kind {
    let target = try readTarget()
    guard take(name: "in") else { throw unexpected(current) }
    let sequence = try readTuple(allowsConditional: false)
    let condition = take(name: "if") ? try readExpression() : nil
    if current.kind == .name("recursive") {
      throw TemplateError.unsupported(line: line, construct: "recursive")
    }
    try expect(.blockEnd)
    let (body, end) = try readStatements(until: ["else", "endfor"])
    let otherwise = end == "else" ? try readBody(until: "endfor") : []
    return .loop(
      TemplateLoop(
        target: target, sequence: sequence, condition: condition, body: body,
        otherwise: otherwise))
  }

  private mutating func readSet() throws(TemplateError) -> TemplateStatement.Kind {
    let target = try readTarget()
    if take(symbol: "=") { return .set(target, try readTuple()) }
    let filters = current.kind == .symbol("|") ? try readFilterCalls(afterBar: true) : []
    return .setBlock(target, filters, body: try readBody(until: "endset"))
  }

  private mutating func readWith() throws(TemplateError) -> TemplateStatement.Kind {
    var bindings: [(TemplateTarget, TemplateExpression)] = []
    while current.kind != .blockEnd {
      if !bindings.isEmpty { try expect(.symbol(",")) }
      let target = try readTarget()
      try expect(.symbol("="))
      bindings.append((target, try readExpression()))
    }
    return .with(bindings, body: try readBody(until: "endwith"))
  }

  private mutating func readMacro() throws(TemplateError) -> TemplateStatement.Kind {
    let name = try readName()
    try expect(.symbol("("))
    var parameters: [(name: String, fallback: TemplateExpression?)] = []
    while !take(symbol: ")") {
      if !parameters.isEmpty { try expect(.symbol(",")) }
      let parameter = try readName()
      parameters.append((parameter, take(symbol: "=") ? try readExpression() : nil))
    }
    let body = try readBody(until: "endmacro")
    return .macro(TemplateMacro(name: name, parameters: parameters, body: body))
  }

  /// `name`, `name.attribute`, or several with commas between them.
  private mutating func readTarget() throws(TemplateError) -> TemplateTarget {
    var targets: [TemplateTarget] = []
    var isTuple = false
    repeat {
      if !targets.isEmpty { isTuple = true }
      if take(symbol: "(") {
        targets.append(try readTarget())
        try expect(.symbol(")"))
        continue
      }
      let name = try readName()
      targets.append(take(symbol: ".") ? .attribute(name, try readName()) : .name(name))
    } while take(symbol: ",")
    return isTuple ? .tuple(targets) : targets[0]
  }

  // MARK: - Tokens

  var current: TemplateToken { tokens[position] }
  var line: Int { current.line }

  mutating func enter() throws(TemplateError) {
    depth += 1
    if depth > Self.maximumDepth {
      throw TemplateError.limitExceeded(line: line, limit: "nesting \(Self.maximumDepth)")
    }
  }

  mutating func take(symbol: String) -> Bool { take(.symbol(symbol)) }
  mutating func take(name: String) -> Bool { take(.name(name)) }

  private mutating func take(_ kind: TemplateToken.Kind) -> Bool {
    guard current.kind == kind else { return false }
    position += 1
    return true
  }

  mutating func expect(_ kind: TemplateToken.Kind) throws(TemplateError) {
    guard take(kind) else { throw unexpected(current) }
  }

  mutating func readName() throws(TemplateError) -> String {
    guard case .name(let name) = current.kind else { throw unexpected(current) }
    position += 1
    return name
  }

  func unexpected(_ token: TemplateToken) -> TemplateError {
    let found =
      switch token.kind {
      case .text: "text"
      case .blockBegin: "{%"
      case .blockEnd: "%}"
      case .variableBegin: "{{"
      case .variableEnd: "}}"
      case .name(let name): name
      case .string(let string): "\"\(string)\""
      case .integer(let value): String(value)
      case .float(let value): String(value)
      case .symbol(let symbol): symbol
      case .end: "end of template"
      }
    return TemplateError.syntax(line: token.line, found: found)
  }
}
