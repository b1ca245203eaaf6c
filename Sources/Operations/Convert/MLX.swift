import Adapters
import Kernels
import Safetensors

/// Folders of mlx-lm: `adapters.safetensors` with `<module>.lora_a` (in × r) and `.lora_b` (r × out),
/// both transposed against PEFT's, `.m` for magnitudes, and an `adapter_config.json` with one plain
/// `scale` for all modules.
enum MLX {
  static let target = "mlx"
  static let weightsName = "adapters.safetensors"

  private static let leaves = [
    ".lora_a": "lora_A.weight", ".lora_b": "lora_B.weight", ".m": "lora_magnitude_vector",
  ]

  /// Module and PEFT's leaf of a tensor's name; nil where it has another form.
  static func parse(_ name: String) -> (module: String, leaf: String)? {
    for (suffix, leaf) in leaves where name.hasSuffix(suffix) {
      return (String(name.dropLast(suffix.count)), leaf)
    }
    return nil
  }

  /// Whether `config` is mlx-lm's.
  static func owns(_ config: JSONObject) -> Bool {
    config["peft_type"] == nil
      && (config["lora_parameters"] != nil || config["fine_tune_type"] != nil)
  }

  static func draft(_ adapter: LowRankAdapter) throws -> AdapterDraft {
    try adapter.requireFactorsOnly(target: target)
    let scales = adapter.modules.map { adapter.plainAlpha($0) / Double(max($0.rank, 1)) }
    let scale = LowRankAdapter.commonest(scales) ?? 1
    let rank = LowRankAdapter.commonest(adapter.modules.map(\.rank)) ?? 8
    var tensors: [DraftTensor] = []
    var keys: [String] = []
    var hasMagnitudes = false
    for (module, own) in zip(adapter.modules, scales) {
      let (a, b) = try factors(module, adapter: adapter)
      guard a.shape.count == 2, b.shape.count == 2 else {
        throw ConversionError.noEquivalent(
          path: adapter.path, module: module.path, target: target,
          reason: "the format has no convolutions")
      }
      guard scale != 0 else {
        throw ConversionError.noEquivalent(
          path: adapter.path, module: module.path, target: target,
          reason: "its scale is 0, which the other modules' is no multiple of")
      }
      tensors.append(a.transposed().renamed(module.path + ".lora_a"))
      tensors.append(
        try b.multiplied(by: own / scale).transposed().renamed(module.path + ".lora_b"))
      if let magnitude = module.tensors["lora_magnitude_vector"] {
        hasMagnitudes = true
        tensors.append(magnitude.renamed(module.path + ".m"))
      }
      let key = pathInLayer(module.path)
      if !keys.contains(key) { keys.append(key) }
    }
    let config: JSONObject = [
      "fine_tune_type": hasMagnitudes ? "dora" : "lora", "num_layers": -1,
      "lora_parameters": [
        "rank": .int(rank), "scale": .double(scale),
        "dropout": adapter.settings["lora_dropout"] ?? 0.0,
        "keys": .array(keys.map { .string($0) }),
      ],
      "model": adapter.settings["base_model_name_or_path"] ?? .null,
    ]
    let text = JSONValue.object(config).serialized(style: .python(indent: 4))
    var metadata = CarriedSettings.adding(
      adapter.settings, modules: adapter.modules.map(\.path), to: adapter.metadata)
    metadata["format"] = "mlx"
    return AdapterDraft(
      config: Array(text.utf8), tensors: tensors, metadata: metadata,
      rescaled: adapter.rescaled
        + zip(adapter.modules, scales).compactMap { $1 == scale ? nil : $0.path })
  }

  /// The factors of a linear layer or an embedding, whose roles are the same: A reads, B writes.
  private static func factors(
    _ module: LowRankAdapter.Module, adapter: LowRankAdapter
  ) throws -> (a: DraftTensor, b: DraftTensor) {
    guard let a = module.tensors["lora_embedding_A"], let b = module.tensors["lora_embedding_B"]
    else { return try adapter.pair(module, target: target) }
    guard module.tensors["lora_magnitude_vector"] == nil else {
      throw ConversionError.noEquivalent(
        path: adapter.path, module: module.path, target: target,
        reason: "PEFT's DoRA has a magnitude for every column of an embedding, MLX for every row")
    }
    return (a, b)
  }

  /// What mlx-lm calls a module inside its layer: `self_attn.q_proj` of `model.layers.0.self_attn.q_proj`.
  private static func pathInLayer(_ path: String) -> String {
    let segments = path.split(separator: ".")
    guard let index = segments.firstIndex(where: { Int($0) != nil }), index + 1 < segments.count
    else { return path }
    return segments[(index + 1)...].joined(separator: ".")
  }

  static func read(_ file: SafetensorsFile, config: JSONObject, configPath: String) throws
    -> LowRankAdapter
  {
    let kind = config["fine_tune_type"]?.string ?? "lora"
    guard kind == "lora" || kind == "dora" else {
      throw AdapterError.unsupportedSetting(path: configPath, name: "fine_tune_type", value: kind)
    }
    guard let scale = config["lora_parameters"]?["scale"]?.double else {
      throw AdapterError.configuration(
        path: configPath, reason: "lora_parameters has no scale")
    }
    var groups: [String: [String: TensorInfo]] = [:]
    for tensor in file.header.tensors {
      guard let (module, leaf) = parse(tensor.name) else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensor.name, scheme: .mlx,
          reason: "is neither lora_a, lora_b nor m of a module")
      }
      groups[module, default: [:]][leaf] = tensor
    }
    let modules = try groups.sorted { $0.key < $1.key }.map { path, tensors in
      guard let a = tensors["lora_A.weight"], let b = tensors["lora_B.weight"],
        a.shape.count == 2, b.shape.count == 2, a.shape[1] == b.shape[0]
      else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensors.values.map(\.name).min() ?? path, scheme: .mlx,
          reason: "does not form a pair in × r, r × out")
      }
      var drafts = tensors.mapValues { DraftTensor($0, of: file) }
      let isEmbedding = Architecture.isEmbedding(module: path)
      guard !isEmbedding || tensors.count == 2 else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: "\(path).m", scheme: .mlx,
          reason: "has a magnitude for every row of an embedding, PEFT's DoRA for every column")
      }
      for (leaf, embedding) in [
        ("lora_A.weight", "lora_embedding_A"), ("lora_B.weight", "lora_embedding_B"),
      ] {
        let tensor = drafts.removeValue(forKey: leaf)?.transposed()
        drafts[isEmbedding ? embedding : leaf] = tensor
      }
      let rank = a.shape[1]
      return LowRankAdapter.Module(
        path: path, rank: rank, alpha: LowRankAdapter.alpha(scale: scale, rank: rank),
        tensors: drafts)
    }
    var adapter = LowRankAdapter(path: file.path, modules: modules)
    (adapter.settings, adapter.metadata) = CarriedSettings.split(file.header.metadata)
    if let dropout = config["lora_parameters"]?["dropout"], dropout.double != nil {
      adapter.settings["lora_dropout"] = dropout
    }
    if let model = config["model"], !model.isNull {
      adapter.settings["base_model_name_or_path"] = model
    }
    return adapter
  }
}
