/// Executes the statements of a template.
struct TemplateInterpreter {
  /// What the template puts out; within a macro or a block that is captured, what that puts out.
  private(set) var output = ""
  private(set) var generated: [Range<Int>] = []
  let date: ChatTemplate.Date?
  private var captureDepth = 0
  private var loopDepth = 0
  private var depth = 0

  /// How deep statements, expressions and calls of macros may nest.
  static let maximumDepth = 600
  /// The most bytes a rendering may have.
  static let maximumOutput = 1 << 26

  init(date: ChatTemplate.Date?) {
    self.date = date
  }

  /// Why a list of statements ended.
  enum Ending {
    case reached
    case brokeLoop
    case continuedLoop
  }

  mutating func run(
    _ statements: [TemplateStatement], in scope: TemplateScope
  ) throws(TemplateError) -> Ending {
    for statement in statements {
      let ending = try run(statement, in: scope)
      if ending != .reached { return ending }
      if output.utf8.count > Self.maximumOutput {
        throw TemplateError.limitExceeded(
          line: statement.line, limit: "\(Self.maximumOutput) bytes")
      }
    }
    return .reached
  }

  private mutating func run(
    _ statement: TemplateStatement, in scope: TemplateScope
  ) throws(TemplateError) -> Ending {
    try enter(line: statement.line)
    defer { leave() }
    switch statement.kind {
    case .text(let text): output += text
    case .output(let expression): output += try evaluate(expression, in: scope).text
    case .condition(let branches, let otherwise):
      for branch in branches where try evaluate(branch.condition, in: scope).isTrue {
        return try run(branch.body, in: scope)
      }
      return try run(otherwise, in: scope)
    case .loop(let loop): return try run(loop, line: statement.line, in: scope)
    case .set(let target, let expression):
      try assign(try evaluate(expression, in: scope), to: target, line: statement.line, in: scope)
    case .setBlock(let target, let filters, let body):
      let text = try capture(body, in: TemplateScope(parent: scope))
      try assign(
        try apply(filters, to: text, line: statement.line, in: scope), to: target,
        line: statement.line, in: scope)
    case .filterBlock(let filters, let body):
      let text = try capture(body, in: TemplateScope(parent: scope))
      output += try apply(filters, to: text, line: statement.line, in: scope).text
    case .with(let bindings, let body):
      let inner = TemplateScope(parent: scope)
      for (target, expression) in bindings {
        try assign(
          try evaluate(expression, in: scope), to: target, line: statement.line, in: inner)
      }
      return try run(body, in: inner)
    case .macro(let macro): scope[macro.name] = .macro(TemplateClosure(macro: macro, scope: scope))
    case .generation(let body):
      let start = output.utf8.count
      let ending = try run(body, in: TemplateScope(parent: scope))
      if captureDepth == 0 { generated.append(start..<output.utf8.count) }
      return ending
    case .breakLoop: return .brokeLoop
    case .continueLoop: return .continuedLoop
    }
    return .reached
  }

  mutating func enter(line: Int) throws(TemplateError) {
    guard depth < Self.maximumDepth else {
      throw TemplateError.limitExceeded(line: line, limit: "\(Self.maximumDepth) nested steps")
    }
    depth += 1
  }

  mutating func leave() { depth -= 1 }

  private mutating func run(
    _ loop: TemplateLoop, line: Int, in scope: TemplateScope
  ) throws(TemplateError) -> Ending {
    let sequence = try evaluate(loop.sequence, in: scope)
    guard var elements = sequence.elements else {
      throw TemplateError.invalidOperation(line: line, operation: "for … in \(sequence.typeName)")
    }
    if let condition = loop.condition {
      var kept: [TemplateValue] = []
      for element in elements {
        let inner = TemplateScope(parent: scope)
        try assign(element, to: loop.target, line: line, in: inner)
        if try evaluate(condition, in: inner).isTrue { kept.append(element) }
      }
      elements = kept
    }
    // As in Jinja, `else` is for a loop of which no round reached its end: `continue` skips that too.
    var hasRun = false
    loopDepth += 1
    for (index, element) in elements.enumerated() {
      // Each round starts from the variables outside: what is set inside does not stay.
      let inner = TemplateScope(parent: scope)
      inner["loop"] = .loop(
        TemplateLoopState(index: index, elements: elements, depth: loopDepth))
      try assign(element, to: loop.target, line: line, in: inner)
      let ending = try run(loop.body, in: inner)
      if ending == .brokeLoop { break }
      if ending == .reached { hasRun = true }
    }
    loopDepth -= 1
    return hasRun ? .reached : try run(loop.otherwise, in: scope)
  }

  private func assign(
    _ value: TemplateValue, to target: TemplateTarget, line: Int, in scope: TemplateScope
  ) throws(TemplateError) {
    switch target {
    case .name(let name): scope[name] = value
    case .attribute(let name, let attribute):
      guard case .namespace(let namespace)? = scope[name] else {
        throw TemplateError.invalidOperation(line: line, operation: "set \(name).\(attribute)")
      }
      namespace.values[.string(attribute)] = value
    case .tuple(let targets):
      guard let elements = value.elements, elements.count == targets.count else {
        throw TemplateError.invalidOperation(
          line: line, operation: "unpack \(value.typeName) to \(targets.count)")
      }
      for (target, element) in zip(targets, elements) {
        try assign(element, to: target, line: line, in: scope)
      }
    }
  }

  /// What statements put out, without putting it out.
  private mutating func capture(
    _ body: [TemplateStatement], in scope: TemplateScope
  ) throws(TemplateError) -> TemplateValue {
    let outside = output
    output = ""
    captureDepth += 1
    defer {
      captureDepth -= 1
      output = outside
    }
    _ = try run(body, in: scope)
    return .string(output)
  }

  private mutating func apply(
    _ filters: [TemplateFilterCall], to value: TemplateValue, line: Int, in scope: TemplateScope
  ) throws(TemplateError) -> TemplateValue {
    var value = value
    for filter in filters {
      value = try applyFilter(
        filter.name, to: value, try evaluate(filter.arguments, in: scope), line: line)
    }
    return value
  }

  mutating func call(
    _ closure: TemplateClosure, _ arguments: EvaluatedArguments, line: Int
  ) throws(TemplateError) -> TemplateValue {
    let macro = closure.macro
    let scope = TemplateScope(parent: closure.scope)
    let known = Set(macro.parameters.map(\.name))
    guard arguments.positional.count <= macro.parameters.count,
      arguments.named.allSatisfy({ known.contains($0.name) })
    else {
      throw TemplateError.invalidOperation(line: line, operation: "arguments of \(macro.name)")
    }
    for (index, parameter) in macro.parameters.enumerated() {
      if index < arguments.positional.count {
        scope[parameter.name] = arguments.positional[index]
      } else if let value = arguments[parameter.name] {
        scope[parameter.name] = value
      } else if let fallback = parameter.fallback {
        scope[parameter.name] = try evaluate(fallback, in: scope)
      } else {
        scope[parameter.name] = .undefined(parameter.name)
      }
    }
    return try capture(macro.body, in: scope)
  }
}
