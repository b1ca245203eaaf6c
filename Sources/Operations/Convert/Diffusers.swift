import Adapters
import Kernels
import Safetensors

/// Files of diffusers: `<model>.<module>.lora_A.weight`, with the older leaves
/// `.lora.down.weight`, `.lora_linear_layer.down.weight` and `.processor.to_q_lora.down.weight`; α from
/// `.alpha`, else from the configuration in the metadata, else the rank.
enum Diffusers {
  static let target = "diffusers"
  static let metadataKey = "lora_adapter_metadata"
  /// The models of a pipeline that a name may begin with.
  static let models = ["unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3"]

  private static let leaves: [(String, String)] = [
    (".lora_A.weight", "lora_A.weight"), (".lora_B.weight", "lora_B.weight"),
    (".lora_B.bias", "lora_B.bias"), (".lora.down.weight", "lora_A.weight"),
    (".lora.up.weight", "lora_B.weight"), (".lora_linear_layer.down.weight", "lora_A.weight"),
    (".lora_linear_layer.up.weight", "lora_B.weight"), ("_lora.down.weight", "lora_A.weight"),
    ("_lora.up.weight", "lora_B.weight"), (".alpha", "alpha"),
    (".lora_magnitude_vector", "lora_magnitude_vector"), (".dora_scale", "lora_magnitude_vector"),
  ]

  /// Model, module and PEFT's leaf of a tensor's name; nil where it has another form.
  static func parse(_ name: String) -> (model: String, module: String, leaf: String)? {
    guard let (suffix, leaf) = leaves.first(where: { name.hasSuffix($0.0) }) else { return nil }
    var segments = name.dropLast(suffix.count).split(separator: ".").map(String.init)
    guard let model = segments.first, models.contains(model), segments.count > 1 else { return nil }
    segments.removeFirst()
    // Attention processors: `attn1.processor.to_q_lora` adapts `attn1.to_q`.
    if segments.count >= 2, segments[segments.count - 2] == "processor" {
      var layer = segments.removeLast()
      segments.removeLast()
      if layer.hasSuffix("_lora") { layer.removeLast(5) }
      segments += layer == "to_out" ? ["to_out", "0"] : [layer]
    }
    return (model, segments.joined(separator: "."), leaf)
  }

  static func draft(_ adapter: LowRankAdapter, prefix: String?) throws -> AdapterDraft {
    try adapter.requireFactorsOnly(target: target, magnitudes: true)
    let model = prefix ?? "unet"
    var plain = adapter
    plain.usesRootScale = false
    plain.settings = JSONObject()
    for index in plain.modules.indices {
      plain.modules[index].alpha = adapter.plainAlpha(adapter.modules[index])
    }
    var tensors: [DraftTensor] = []
    for module in plain.modules {
      _ = try plain.pair(module, target: target)
      for (leaf, tensor) in module.tensors {
        tensors.append(tensor.renamed("\(model).\(module.path).\(leaf)"))
      }
    }
    var settings = JSONObject()
    for entry in plain.config.entries where entry.key != "peft_type" {
      settings["\(model).\(entry.key)"] = entry.value
    }
    let text = JSONValue.object(settings).serialized(style: .python(indent: 2), sortKeys: true)
    return AdapterDraft(
      config: nil, tensors: tensors, metadata: ["format": "pt", metadataKey: text])
  }

  static func read(_ file: SafetensorsFile, prefix: String?) throws -> LowRankAdapter {
    var groups: [String: [String: [String: TensorInfo]]] = [:]
    for tensor in file.header.tensors {
      guard let (model, module, leaf) = parse(tensor.name) else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensor.name, scheme: .diffusers,
          reason: "is no factor, alpha or magnitude of a module")
      }
      if let other = groups[model, default: [:]][module, default: [:]].updateValue(
        tensor, forKey: leaf)
      {
        throw AdapterError.duplicateParameter(path: file.path, names: [other.name, tensor.name])
      }
    }
    let wanted = groups.keys.filter { prefix == nil || $0 == prefix }
    guard wanted.count == 1, let model = wanted.first, let own = groups[model] else {
      throw ConversionError.severalModels(path: file.path, prefixes: groups.keys.sorted())
    }
    let config = try AdapterSettings(file, model: model)
    let modules = try own.sorted { $0.key < $1.key }.map { path, tensors in
      var foreign = ForeignModule(path: path, tensors: tensors, file: file, scheme: .diffusers)
      let rank = tensors["lora_A.weight"]?.shape.first ?? 0
      foreign.statedAlpha = try config.plainAlpha(module: path, rank: rank)
      return try foreign.module()
    }
    return LowRankAdapter(path: file.path, modules: modules)
  }

  /// The LoRA configuration that a file may carry in its metadata.
  private struct AdapterSettings {
    let settings: MethodSettings?

    init(_ file: SafetensorsFile, model: String) throws {
      guard let text = file.header.metadata?[metadataKey] else {
        settings = nil
        return
      }
      guard let object = try? JSONValue.parse(text).object else {
        throw AdapterError.configuration(
          path: file.path, reason: "its metadata entry \(metadataKey) is no JSON object")
      }
      var values: [String: Setting] = [:]
      for entry in object.entries where entry.key.hasPrefix(model + ".") {
        values[String(entry.key.dropFirst(model.count + 1))] = Setting(entry.value)
      }
      settings = values.isEmpty ? nil : MethodSettings(values)
    }

    /// α such that α/rank is the module's scale.
    func plainAlpha(module: String, rank: Int) throws -> Double? {
      guard let settings else { return nil }
      let alpha = try settings.resolved("lora_alpha", table: "alpha_pattern", module: module)
      guard let alpha else { return nil }
      return try settings.bool("use_rslora") == true ? alpha * Double(rank).squareRoot() : alpha
    }
  }
}
