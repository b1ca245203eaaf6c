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
  static let models = [
    "unet", "transformer", "transformer_2", "text_encoder", "text_encoder_2", "text_encoder_3",
    "controlnet", "diffusion_model",
  ]

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
    let model: String
    if let first = segments.first, models.contains(first) {
      model = first
      segments.removeFirst()
    } else if segments.contains("processor") {
      // The first versions had the U-Net's processors only, and no model's name.
      model = "unet"
    } else {
      return nil
    }
    guard var layer = segments.popLast() else { return nil }
    // Attention processors: `attn1.processor.to_q_lora` adapts `attn1.to_q`.
    var isProcessor = suffix.hasPrefix("_lora")
    if layer.hasSuffix("_lora") {
      layer.removeLast(5)
      isProcessor = true
    }
    if segments.last == "processor" {
      segments.removeLast()
      isProcessor = true
    }
    if isProcessor { layer = moduleOfProcessor(layer, model: model) }
    return (model, (segments + [layer]).joined(separator: "."), leaf)
  }

  /// The module that an attention processor's `layer` stands for.
  private static func moduleOfProcessor(_ layer: String, model: String) -> String {
    guard model.hasPrefix("text_encoder") else { return layer == "to_out" ? "to_out.0" : layer }
    return ["to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"][layer]
      ?? layer
  }

  static func draft(_ adapter: LowRankAdapter, prefix: String?) throws -> AdapterDraft {
    try adapter.requireFactorsOnly(target: target, biases: true)
    let model = prefix ?? "unet"
    guard models.contains(model) else {
      throw ConversionError.prefix(model, scheme: .diffusers, known: models)
    }
    var plain = adapter
    plain.usesRootScale = false
    plain.settings = CarriedSettings.of(adapter.settings.entries)
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
    var metadata = adapter.metadata
    metadata["format"] = "pt"
    metadata[metadataKey] = text
    return AdapterDraft(
      config: nil, tensors: tensors, metadata: metadata, rescaled: adapter.rescaled)
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
    var adapter = LowRankAdapter(path: file.path, modules: modules)
    (adapter.settings, adapter.metadata) = CarriedSettings.split(file.header.metadata)
    adapter.metadata[metadataKey] = nil
    for entry in CarriedSettings.of(config.entries).entries {
      adapter.settings[entry.key] = entry.value
    }
    return adapter
  }

  /// The LoRA configuration that a file may carry in its metadata.
  private struct AdapterSettings {
    let entries: [JSONObject.Entry]
    let settings: MethodSettings?

    init(_ file: SafetensorsFile, model: String) throws {
      guard let text = file.header.metadata?[metadataKey] else {
        (entries, settings) = ([], nil)
        return
      }
      guard let object = try? JSONValue.parse(text).object else {
        throw AdapterError.configuration(
          path: file.path, reason: "its metadata entry \(metadataKey) is no JSON object")
      }
      entries = object.entries.filter { $0.key.hasPrefix(model + ".") }.map {
        JSONObject.Entry(key: String($0.key.dropFirst(model.count + 1)), value: $0.value)
      }
      let values = Dictionary(entries.map { ($0.key, Setting($0.value)) }) { $1 }
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
