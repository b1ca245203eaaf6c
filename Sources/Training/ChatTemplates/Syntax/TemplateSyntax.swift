/// An expression of a template.
struct TemplateExpression: Sendable {
  indirect enum Kind: Sendable {
    case literal(TemplateValue)
    case name(String)
    case list([TemplateExpression], isTuple: Bool)
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(
      TemplateExpression, start: TemplateExpression?, stop: TemplateExpression?,
      step: TemplateExpression?)
    case call(TemplateExpression, TemplateArguments)
    case filter(TemplateExpression, name: String, TemplateArguments)
    case test(TemplateExpression, name: String, TemplateArguments, isNegated: Bool)
    case negation(TemplateExpression)
    case minus(TemplateExpression)
    case plus(TemplateExpression)
    case binary(TemplateOperator, TemplateExpression, TemplateExpression)
    /// `a < b <= c`.
    case comparison(TemplateExpression, [(TemplateComparison, TemplateExpression)])
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case conditional(
      TemplateExpression, condition: TemplateExpression, otherwise: TemplateExpression?)
  }

  var kind: Kind
  var line: Int
}

enum TemplateOperator: String, Sendable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case floorDivide = "//"
  case remainder = "%"
  case power = "**"
  case concatenate = "~"
}

enum TemplateComparison: String, Sendable {
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case isIn = "in"
  case isNotIn = "not in"
}

/// The arguments of a call, a filter or a test.
struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
}

/// What an assignment or a loop sets.
enum TemplateTarget: Sendable {
  case name(String)
  case attribute(String, String)
  case tuple([TemplateTarget])
}

/// A statement of a template.
struct TemplateStatement: Sendable {
  indirect enum Kind: Sendable {
    case text(String)
    case output(TemplateExpression)
    case condition(
      [(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
    case loop(TemplateLoop)
    case set(TemplateTarget, TemplateExpression)
    /// `{% set name %}…{% endset %}`, with filters on what the body puts out.
    case setBlock(TemplateTarget, [TemplateFilterCall], body: [TemplateStatement])
    case filterBlock([TemplateFilterCall], body: [TemplateStatement])
    case with([(TemplateTarget, TemplateExpression)], body: [TemplateStatement])
    case macro(TemplateMacro)
    /// `{% generation %}`: what the assistant says.
    case generation([TemplateStatement])
    case breakLoop
    case continueLoop
  }

  var kind: Kind
  var line: Int
}

struct TemplateFilterCall: Sendable {
  var name: String
  var arguments: TemplateArguments
}

struct TemplateLoop: Sendable {
  var target: TemplateTarget
  var sequence: TemplateExpression
  var condition: TemplateExpression?
  var body: [TemplateStatement]
  var otherwise: [TemplateStatement]
}

struct TemplateMacro: Sendable {
  var name: String
  var parameters: [(name: String, fallback: TemplateExpression?)]
  var body: [TemplateStatement]
}
