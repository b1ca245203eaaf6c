import Adapters
import Kernels
import Safetensors

/// LoHa and LoKr in files with sd-scripts' names. The tensors have the same leaves and shapes in PEFT; α
/// is a tensor here and a setting there.
///
/// Where both factors of LoKr are full there is no rank to divide α by: LyCORIS takes 1 as the scale, PEFT
/// takes α/r.
enum LyCORIS {
  static let leaves = Set(LoHa.descriptor.leaves + LoKr.descriptor.leaves)

  private struct Module {
    let path: String
    let rank: Int
    let alpha: Double
    let tensors: [String: DraftTensor]
  }

  /// Whether `file` holds LoHa or LoKr.
  static func owns(_ file: SafetensorsFile) -> Bool {
    file.header.tensors.contains { Kohya.parse($0.name).map { leaves.contains($0.leaf) } ?? false }
  }

  static func owns(_ file: AdapterFile) -> Bool { types.keys.contains(file.config.peftType) }

  private static let types: [String: any AdapterMethod.Type] = [
    "LOHA": LoHa.self, "LOKR": LoKr.self,
  ]

  private static func hasFullFactors(_ leaves: some Sequence<String>) -> Bool {
    Set(leaves).isSuperset(of: ["lokr_w1", "lokr_w2"])
  }

  // MARK: From PEFT

  static func draft(_ file: AdapterFile, prefix: String?) throws -> AdapterDraft {
    let contents = try AdapterContents(file)
    if let tensor = contents.replacements.first?.tensor {
      throw ConversionError.noEquivalent(
        path: file.path, module: tensor.name, target: Kohya.target,
        reason: "the format holds factors only, no whole tensors of the base")
    }
    var stems = Kohya.Stems(path: file.path, prefix: try Kohya.writtenPrefix(prefix))
    var tensors: [DraftTensor] = []
    var rescaled: [String] = []
    for module in contents.modules {
      let summary: ModuleSummary
      do {
        summary = try module.method.examine(module.shapes, settings: module.settings, layer: nil)
      } catch {
        throw AdapterError.module(path: file.path, module: module.path, tensor: nil, error: error)
      }
      let stem = try stems.stem(of: module.path)
      let (rank, scale) = (Double(summary.rank ?? 1), summary.scale ?? 1)
      let isFull = hasFullFactors(module.tensors.keys)
      for (leaf, info) in module.tensors {
        var tensor = DraftTensor(
          info, of: file.weights, stated: file.container?.checksums[info.name])
        if isFull, leaf == "lokr_w2", scale != 1 {
          tensor = try tensor.multiplied(by: scale)
          rescaled.append(module.path)
        }
        tensors.append(tensor.renamed("\(stem).\(leaf)"))
      }
      let alpha = isFull ? rank : LowRankAdapter.alpha(scale: scale, rank: summary.rank ?? 1)
      tensors.append(
        Kohya.alpha(
          stem + ".alpha", alpha, like: module.tensors.min { $0.key < $1.key }?.value.dtype))
    }
    var metadata = CarriedSettings.adding(
      file.config.json, modules: contents.modules.map(\.path),
      to: file.container?.other ?? file.weights.header.metadata ?? [:])
    metadata["format"] = nil
    if metadata["ss_network_module"] == nil { metadata["ss_network_module"] = "lycoris.kohya" }
    return AdapterDraft(config: nil, tensors: tensors, metadata: metadata, rescaled: rescaled)
  }

  // MARK: To PEFT

  static func peftDraft(_ file: SafetensorsFile, base: String?, prefix: String?) throws
    -> AdapterDraft
  {
    let found = try Kohya.modules(file, base: base, prefix: prefix)
    let isHadamard = found.contains { $0.tensors.keys.contains { $0.hasPrefix("hada_") } }
    let method: any AdapterMethod.Type = isHadamard ? LoHa.self : LoKr.self
    let modules = try found.map { path, tensors in
      try module(path, tensors, file: file, method: method)
    }
    var config: JSONObject = [
      "peft_type": isHadamard ? "LOHA" : "LOKR", "task_type": nil, "base_model_name_or_path": nil,
      "revision": nil, "inference_mode": true, "rank_dropout": 0.0, "module_dropout": 0.0,
      "use_effective_conv2d": .bool(
        modules.contains { $0.tensors.keys.contains { $0.contains("_t") } }),
      "init_weights": true, "modules_to_save": nil, "layers_to_transform": nil,
      "layers_pattern": nil, "target_modules": .array(modules.map { .string($0.path) }),
    ]
    if !isHadamard {
      config["decompose_both"] = .bool(modules.contains { $0.tensors["lokr_w1_a"] != nil })
      config["decompose_factor"] = .int(
        KroneckerFactor.setting(of: modules.map(\.tensors)))
      config["rank_dropout_scale"] = false
    }
    let rank = LowRankAdapter.commonest(modules.map(\.rank)) ?? 8
    let alpha = LowRankAdapter.commonest(modules.map(\.alpha)) ?? Double(rank)
    let keys = PatternKeys(paths: modules.map(\.path))
    var ranks = JSONObject()
    var alphas = JSONObject()
    for module in modules {
      let key = keys.key(of: module.path)
      if module.rank != rank { ranks[key] = .int(module.rank) }
      if module.alpha != alpha { alphas[key] = LowRankAdapter.number(module.alpha) }
    }
    config["r"] = .int(rank)
    config["alpha"] = LowRankAdapter.number(alpha)
    config["rank_pattern"] = .object(ranks)
    config["alpha_pattern"] = .object(alphas)
    let (settings, metadata) = CarriedSettings.split(file.header.metadata)
    for entry in settings.entries { config[entry.key] = entry.value }
    let text = JSONValue.object(config).serialized(style: .python(indent: 2), sortKeys: true)
    return AdapterDraft(
      config: Array(text.utf8),
      tensors: modules.flatMap { module in
        module.tensors.sorted { $0.key < $1.key }.map {
          $0.value.renamed("base_model.model.\(module.path).\($0.key)")
        }
      }, metadata: metadata)
  }

  private static func module(
    _ path: String, _ tensors: [String: TensorInfo], file: SafetensorsFile,
    method: any AdapterMethod.Type
  ) throws -> Module {
    let own = tensors.filter { $0.key != "alpha" }
    if let other = own.first(where: { !method.descriptor.leaves.contains($0.key) }) {
      throw ConversionError.unexpectedTensor(
        path: file.path, tensor: other.value.name, scheme: .kohya,
        reason: other.key == "lora_magnitude_vector"
          ? "is a magnitude, which PEFT's \(method.descriptor.title) does not have"
          : "is of another method than the other modules; PEFT has one for all")
    }
    let drafts = own.mapValues { DraftTensor($0, of: file) }
    do {
      if hasFullFactors(own.keys) {
        let rank = KroneckerFactor.rankOfFull(drafts)
        return Module(path: path, rank: rank, alpha: Double(rank), tensors: drafts)
      }
      let summary = try method.examine(
        own.mapValues(\.shape), settings: MethodSettings([:]), layer: nil)
      let rank = summary.rank ?? 0
      let alpha = try tensors["alpha"].map { try ForeignModule.alpha($0, file, scheme: .kohya) }
      return Module(path: path, rank: rank, alpha: alpha ?? Double(rank), tensors: drafts)
    } catch let error as MethodError {
      throw AdapterError.module(path: file.path, module: path, tensor: nil, error: error)
    }
  }
}
