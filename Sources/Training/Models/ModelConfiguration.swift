import Adapters
import Safetensors

/// The settings of `config.json`, by name and type.
public struct ModelConfiguration: Sendable {
  public let json: JSONObject

  public init(_ json: JSONObject) { self.json = json }

  /// The value of `name`; nil when it is absent or null.
  subscript(name: String) -> JSONValue? {
    guard let value = json[name], value != .null else { return nil }
    return value
  }

  /// Whether the setting is stated, if only as null.
  func states(_ name: String) -> Bool { json[name] != nil }

  func integer(_ name: String) throws(ModelError) -> Int? {
    guard let value = self[name] else { return nil }
    guard let number = value.number, let integer = Int(exactly: number.double) else {
      throw .setting(name: name, reason: "must be an integer")
    }
    return integer
  }

  func real(_ name: String) throws(ModelError) -> Double? {
    guard let value = self[name] else { return nil }
    guard let number = value.number else {
      throw .setting(name: name, reason: "must be a number")
    }
    return number.double
  }

  func bool(_ name: String) throws(ModelError) -> Bool? {
    guard let value = self[name] else { return nil }
    guard case .bool(let bool) = value else {
      throw .setting(name: name, reason: "must be true or false")
    }
    return bool
  }

  func text(_ name: String) throws(ModelError) -> String? {
    guard let value = self[name] else { return nil }
    guard case .string(let text) = value else {
      throw .setting(name: name, reason: "must be a string")
    }
    return text
  }

  /// A setting that must be there, at least 1.
  func size(_ name: String) throws(ModelError) -> Int {
    guard let size = try integer(name) else { throw .setting(name: name, reason: "is missing") }
    guard size > 0 else { throw .setting(name: name, reason: "must be positive") }
    return size
  }

  func reals(_ name: String) throws(ModelError) -> [Double]? {
    guard let value = self[name] else { return nil }
    guard case .array(let elements) = value else {
      throw .setting(name: name, reason: "must be a list of numbers")
    }
    let numbers = elements.compactMap { $0.number?.double }
    guard numbers.count == elements.count else {
      throw .setting(name: name, reason: "must be a list of numbers")
    }
    return numbers
  }

  func texts(_ name: String) throws(ModelError) -> [String]? {
    guard case .array(let elements)? = self[name] else { return nil }
    return elements.compactMap { if case .string(let text) = $0 { text } else { nil } }
  }

  func object(_ name: String) -> ModelConfiguration? {
    guard case .object(let object)? = self[name] else { return nil }
    return ModelConfiguration(object)
  }

  func activation(_ name: String, default standard: String) throws(ModelError) -> Activation {
    let named = try text(name) ?? standard
    guard let activation = Activation(named: named) else {
      throw .setting(name: name, reason: "\(named) is not known")
    }
    return activation
  }

  /// Outputs of a classifier: `num_labels`, or as many as `id2label` names; transformers' default is 2.
  func labels() throws(ModelError) -> Int {
    if let count = try integer("num_labels") { return count }
    if case .object(let names)? = self["id2label"] { return names.count }
    return 2
  }
}

extension JSONValue {
  fileprivate var number: JSONNumber? {
    if case .number(let number) = self { number } else { nil }
  }
}
