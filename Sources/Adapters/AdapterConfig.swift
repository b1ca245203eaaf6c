import Kernels
import Safetensors

/// `adapter_config.json`: kept whole, in the order and the spelling of the file.
public struct AdapterConfig: Sendable {
  /// The configuration as it stands in the file.
  public let json: JSONObject
  /// The file, for messages.
  public let path: String
  /// The kind of adapter: `LORA`, `VERA`, …, in upper case.
  public let peftType: String
  /// Every value, for the methods.
  public let settings: MethodSettings

  /// Reads `bytes`, the text of an `adapter_config.json`.
  public init(_ bytes: [UInt8], path: String) throws(AdapterError) {
    let value: JSONValue
    do {
      value = try JSONValue.parse(bytes, allowsNonFinite: true)
    } catch {
      throw .configuration(path: path, reason: "it is not JSON: \(error.reason)")
    }
    guard case .object(let object) = value else {
      throw .configuration(path: path, reason: "it is not a JSON object")
    }
    try self.init(object, path: path)
  }

  public init(_ json: JSONObject, path: String) throws(AdapterError) {
    guard case .string(let type)? = json["peft_type"], !type.isEmpty else {
      throw .configuration(path: path, reason: "it has no peft_type")
    }
    self.json = json
    self.path = path
    self.peftType = type.uppercased()
    var values: [String: Setting] = [:]
    for entry in json.entries { values[entry.key] = Setting(entry.value) }
    self.settings = MethodSettings(values)
  }

  /// Settings that every kind of adapter may have and that this module interprets.
  static let commonSettings: Set<String> = [
    "peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision",
    "inference_mode", "peft_version", "target_modules", "exclude_modules", "modules_to_save",
    "layers_to_transform", "layers_pattern", "bias", "fan_in_fan_out", "target_parameters",
    "trainable_token_indices", "layer_replication", "ensure_weight_tying", "runtime_config",
    "megatron_config", "megatron_core", "adapter_name", "model_type", "base_model_class",
    "parent_library",
  ]

  /// Settings with a value other than "off" that neither this module nor `methods` know: each might
  /// change the numbers.
  public func unknownSettings(
    methods: [any AdapterMethod.Type]
  ) -> [(name: String, value: Setting)] {
    var known = Self.commonSettings
    for method in methods {
      known.formUnion(method.descriptor.settings)
      known.formUnion(method.descriptor.trainingSettings)
      known.formUnion(method.descriptor.patterns.flatMap { [$0.table, $0.setting] })
    }
    return json.entries.compactMap { entry in
      let setting = Setting(entry.value)
      return known.contains(entry.key) || setting.isOff ? nil : (entry.key, setting)
    }
  }
}

extension Setting {
  /// The value of a JSON value.
  public init(_ json: JSONValue) {
    switch json {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .number(let number):
      self = number.int.map(Setting.integer) ?? .real(number.double)
    case .string(let value): self = .text(value)
    case .array(let values): self = .list(values.map(Setting.init))
    case .object(let object):
      self = .table(object.entries.map { (key: $0.key, value: Setting($0.value)) })
    }
  }

  /// The value as JSON, for messages.
  public var description: String {
    switch self {
    case .null: "null"
    case .bool(let value): String(value)
    case .integer(let value): String(value)
    case .real(let value): String(value)
    case .text(let value): "\"\(value)\""
    case .list(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
    case .table(let entries):
      "{" + entries.map { "\"\($0.key)\": \($0.value.description)" }.joined(separator: ", ") + "}"
    }
  }

  /// Null, false, zero, empty or `"none"`: what a setting that is not used holds.
  var isOff: Bool {
    switch self {
    case .null: true
    case .bool(let value): !value
    case .integer(let value): value == 0
    case .real(let value): value == 0
    case .text(let value): value.isEmpty || value == "none"
    case .list(let values): values.isEmpty
    case .table(let values): values.isEmpty
    }
  }
}

extension JSONValue {
  /// The value of a setting; a real number without a fraction becomes an integer.
  public init(_ setting: Setting) {
    switch setting {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .int(value)
    case .real(let value): self = Int(exactly: value).map(JSONValue.int) ?? .double(value)
    case .text(let value): self = .string(value)
    case .list(let values): self = .array(values.map(JSONValue.init))
    case .table(let entries):
      var object = JSONObject()
      for (key, value) in entries { object[key] = JSONValue(value) }
      self = .object(object)
    }
  }
}
