/// A value of an adapter's configuration.
public indirect enum Setting: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int)
  case real(Double)
  case text(String)
  case list([Setting])
  /// Keys in the order of the file.
  case table([(key: String, value: Setting)])

  public static func == (a: Setting, b: Setting) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.real(let a), .real(let b)): a == b
    case (.integer(let a), .real(let b)), (.real(let b), .integer(let a)): Double(a) == b
    case (.text(let a), .text(let b)): a == b
    case (.list(let a), .list(let b)): a == b
    case (.table(let a), .table(let b)):
      a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value == $1.value }
    default: false
    }
  }
}

/// The configuration that a method reads its hyper-parameters from, for one module: patterns such as
/// `rank_pattern` are already resolved into `r` and `lora_alpha`.
public struct MethodSettings: Sendable {
  private let values: [String: Setting]

  public init(_ values: [String: Setting]) {
    self.values = values
  }

  /// The value of `name`; nil when it is absent or null.
  public subscript(name: String) -> Setting? {
    guard let value = values[name], value != .null else { return nil }
    return value
  }

  /// The settings with `name` set to `value`.
  public func setting(_ name: String, to value: Setting) -> MethodSettings {
    var values = self.values
    values[name] = value
    return MethodSettings(values)
  }

  public func integer(_ name: String) throws(MethodError) -> Int? {
    switch self[name] {
    case nil: return nil
    case .integer(let value): return value
    case .real(let value) where value == value.rounded() && abs(value) < 1e15: return Int(value)
    case .some: throw .setting(name: name, reason: "must be an integer")
    }
  }

  public func real(_ name: String) throws(MethodError) -> Double? {
    switch self[name] {
    case nil: return nil
    case .integer(let value): return Double(value)
    case .real(let value): return value
    case .some: throw .setting(name: name, reason: "must be a number")
    }
  }

  public func bool(_ name: String) throws(MethodError) -> Bool? {
    switch self[name] {
    case nil: return nil
    case .bool(let value): return value
    case .some: throw .setting(name: name, reason: "must be true or false")
    }
  }

  public func text(_ name: String) throws(MethodError) -> String? {
    switch self[name] {
    case nil: return nil
    case .text(let value): return value
    case .some: throw .setting(name: name, reason: "must be a string")
    }
  }
}

/// Why a method cannot work with what an adapter holds.
public enum MethodError: Error, Sendable, Equatable {
  /// A tensor that the method needs is not there.
  case missingTensor(leaf: String)
  /// A tensor does not have the shape that the method or the layer asks for.
  case shape(leaf: String, found: [Int], expected: String)
  /// A tensor holds values that the method cannot use.
  case values(leaf: String, reason: String)
  /// A setting is missing, has a wrong type or a value that is not supported.
  case setting(name: String, reason: String)
  /// The method does not work on this kind of layer.
  case layer(reason: String)
  /// The method cannot be merged into weights.
  case notMergeable(reason: String)
}
