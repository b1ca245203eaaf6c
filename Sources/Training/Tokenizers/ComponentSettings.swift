import Safetensors

/// The settings of one component of a `tokenizer.json`, read with errors that name the component.
struct ComponentSettings {
  /// The component's type: `ByteLevel`.
  let component: String
  let fields: JSONObject

  /// - Parameter role: what a component is called whose `type` is missing.
  init(_ value: JSONValue, role: String) throws(TokenizerError) {
    guard let fields = value.object else {
      throw TokenizerError.invalid(component: role, key: "type")
    }
    guard let type = fields["type"]?.string else {
      throw TokenizerError.missing(component: role, key: "type")
    }
    self.init(component: type, fields: fields)
  }

  init(component: String, fields: JSONObject) {
    self.component = component
    self.fields = fields
  }

  /// The value of `key`; nil where it is absent or null.
  subscript(key: String) -> JSONValue? {
    guard let value = fields[key], !value.isNull else { return nil }
    return value
  }

  func required(_ key: String) throws(TokenizerError) -> JSONValue {
    guard let value = self[key] else {
      throw TokenizerError.missing(component: component, key: key)
    }
    return value
  }

  func string(_ key: String) throws(TokenizerError) -> String {
    guard let string = try required(key).string else { throw invalid(key) }
    return string
  }

  func optionalString(_ key: String) throws(TokenizerError) -> String? {
    self[key] == nil ? nil : try string(key)
  }

  func bool(_ key: String, default fallback: Bool) throws(TokenizerError) -> Bool {
    guard let value = self[key] else { return fallback }
    guard let bool = value.bool else { throw invalid(key) }
    return bool
  }

  func bool(_ key: String) throws(TokenizerError) -> Bool {
    guard let bool = try required(key).bool else { throw invalid(key) }
    return bool
  }

  /// A non-negative integer.
  func count(_ key: String) throws(TokenizerError) -> Int {
    guard let int = try required(key).int, int >= 0 else { throw invalid(key) }
    return int
  }

  func count(_ key: String, default fallback: Int) throws(TokenizerError) -> Int {
    self[key] == nil ? fallback : try count(key)
  }

  /// A string of exactly one Unicode scalar.
  func scalar(_ key: String) throws(TokenizerError) -> Unicode.Scalar {
    let scalars = try string(key).unicodeScalars
    guard let first = scalars.first, scalars.count == 1 else { throw invalid(key) }
    return first
  }

  func array(_ key: String) throws(TokenizerError) -> [JSONValue] {
    guard let array = try required(key).array else { throw invalid(key) }
    return array
  }

  func invalid(_ key: String) -> TokenizerError {
    TokenizerError.invalid(component: component, key: key)
  }

  func unsupported(_ feature: String) -> TokenizerError {
    TokenizerError.unsupported(component: component, feature: feature)
  }
}
