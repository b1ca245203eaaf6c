import Safetensors

/// A value of a template: Python's, as far as templates see it.
enum TemplateValue: Sendable {
  /// A name or attribute that does not exist.
  case undefined(String)
  case none
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case list([TemplateValue], isTuple: Bool)
  case dictionary(TemplateDictionary)
  case namespace(TemplateNamespace)
  case loop(TemplateLoopState)
  case macro(TemplateClosure)
  /// A global function: `range`, `namespace` …
  case function(TemplateFunction)
  /// A method of a value, not yet called.
  indirect case method(TemplateValue, String)

  static func list(_ elements: [TemplateValue]) -> TemplateValue { .list(elements, isTuple: false) }

  init(_ json: JSONValue) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .number(let number):
      if let int = number.int { self = .int(int) } else { self = .double(number.double) }
    case .string(let string): self = .string(string)
    case .array(let elements): self = .list(elements.map { TemplateValue($0) })
    case .object(let object):
      var dictionary = TemplateDictionary()
      for entry in object.entries { dictionary[.string(entry.key)] = TemplateValue(entry.value) }
      self = .dictionary(dictionary)
    }
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }

  /// Python's truth.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .double(let value): value != 0
    case .string(let string): !string.isEmpty
    case .list(let elements, _): !elements.isEmpty
    case .dictionary(let dictionary): !dictionary.entries.isEmpty
    case .namespace, .loop, .macro, .function, .method: true
    }
  }

  /// The number, where booleans count as 0 and 1.
  var number: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  var integer: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): value
    default: nil
    }
  }

  var string: String? { if case .string(let string) = self { string } else { nil } }

  /// The elements that a loop over the value sees; nil where there is nothing to loop over.
  var elements: [TemplateValue]? {
    switch self {
    case .undefined: []
    case .string(let string): string.unicodeScalars.map { .string(String($0)) }
    case .list(let elements, _): elements
    case .dictionary(let dictionary): dictionary.entries.map(\.key)
    default: nil
    }
  }
}

extension TemplateValue: Equatable {
  /// Python's `==`: numbers by value, strings by code points.
  static func == (a: TemplateValue, b: TemplateValue) -> Bool {
    if let x = a.integer, let y = b.integer { return x == y }
    if let x = a.number, let y = b.number { return x == y }
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let x), .string(let y)): return x.utf8.elementsEqual(y.utf8)
    case (.list(let x, let xIsTuple), .list(let y, let yIsTuple)):
      return xIsTuple == yIsTuple && x == y
    case (.dictionary(let x), .dictionary(let y)):
      return x.entries.count == y.entries.count && x.entries.allSatisfy { y[$0.key] == $0.value }
    case (.namespace(let x), .namespace(let y)): return x === y
    default: return false
    }
  }

  /// Python's `<`; nil where the two have no order.
  func precedes(_ other: TemplateValue) -> Bool? {
    if let x = integer, let y = other.integer { return x < y }
    if let x = number, let y = other.number { return x < y }
    switch (self, other) {
    case (.string(let x), .string(let y)): return x.precedesByUTF8(y)
    case (.list(let x, _), .list(let y, _)):
      for (a, b) in zip(x, y) where a != b { return a.precedes(b) }
      return x.count < y.count
    default: return nil
    }
  }
}

/// A dictionary in the order in which keys came.
struct TemplateDictionary: Sendable {
  private(set) var entries: [(key: TemplateValue, value: TemplateValue)] = []

  subscript(key: TemplateValue) -> TemplateValue? {
    get { entries.first { $0.key == key }?.value }
    set {
      let index = entries.firstIndex { $0.key == key }
      switch (index, newValue) {
      case (let index?, let value?): entries[index].value = value
      case (let index?, nil): entries.remove(at: index)
      case (nil, let value?): entries.append((key, value))
      case (nil, nil): break
      }
    }
  }
}

/// The object of `namespace(…)`, the one thing that a template can change. It lives within one
/// rendering, on one thread.
final class TemplateNamespace: @unchecked Sendable {
  var values = TemplateDictionary()
}

/// The variable `loop`.
struct TemplateLoopState: Sendable {
  var index: Int
  var elements: [TemplateValue]
  var depth: Int
}

/// A macro, and the variables where it was defined.
struct TemplateClosure: Sendable {
  var macro: TemplateMacro
  /// The scope holds the macro, not the macro the scope.
  weak var scope: TemplateScope?
}

/// The variables of a part of a template. They live within one rendering, on one thread.
final class TemplateScope: @unchecked Sendable {
  private var values: [String: TemplateValue] = [:]
  private let parent: TemplateScope?

  init(parent: TemplateScope? = nil) {
    self.parent = parent
  }

  subscript(name: String) -> TemplateValue? {
    get { values[name] ?? parent?[name] }
    set { values[name] = newValue }
  }
}

enum TemplateFunction: String, Sendable {
  case range
  case namespace
  case dict
  case raiseException = "raise_exception"
  case dateAndTime = "strftime_now"
}
