import Adapters
import Kernels
import Safetensors

/// An adapter as LoRA and nothing else: what every format is read into and written from.
struct LowRankAdapter: Sendable {
  struct Module: Sendable {
    /// The module's path in the model.
    let path: String
    let rank: Int
    /// α, before the division by the rank.
    var alpha: Double
    /// By PEFT's leaf: `lora_A.weight` (r × in), `lora_B.weight` (out × r), `lora_B.bias`,
    /// `lora_magnitude_vector`, `lora_embedding_A`, `lora_embedding_B`.
    var tensors: [String: DraftTensor]
    /// The base stores the weight `in × out`.
    var storedTransposed = false
    /// The tensors are those of a PEFT LoRA, bit for bit.
    var isCopied = false
    /// The tensors are named as PEFT names them, in a way that the path does not tell: adapters nested
    /// in one module.
    var keepsNames = false
  }

  /// The file, for messages.
  let path: String
  var modules: [Module]
  /// The scale is `α/√r`.
  var usesRootScale = false
  /// Whole tensors and rows of embeddings, under PEFT's names.
  var replacements: [DraftTensor] = []
  /// Configuration that goes with the replacements, and what is known of the base.
  var settings = JSONObject()
  /// What the source's file says besides its tensors, for targets that keep it.
  var metadata: [String: String] = [:]
  /// Modules whose scale the target cannot state: it is multiplied into B, which rounds unless their
  /// quotient is a power of 2.
  var rescaled: [String] = []
  /// Names of replacements that hold what the base holds: PEFT stores them beside adapted embeddings.
  var copiesOfBase: Set<String> = []

  /// The α that makes α/r the scale of `module`.
  func plainAlpha(_ module: Module) -> Double {
    usesRootScale ? module.alpha * Double(module.rank).squareRoot() : module.alpha
  }

  /// The α of scale `scale` at `rank`: whole where a whole number gives just that scale.
  static func alpha(scale: Double, rank: Int) -> Double {
    let alpha = scale * Double(rank)
    return alpha.rounded() / Double(rank) == scale ? alpha.rounded() : alpha
  }

  /// The pair of a linear layer or a convolution.
  func pair(_ module: Module, target: String) throws -> (a: DraftTensor, b: DraftTensor) {
    guard let a = module.tensors["lora_A.weight"], let b = module.tensors["lora_B.weight"] else {
      throw ConversionError.noEquivalent(
        path: path, module: module.path, target: target,
        reason: "it adapts an embedding, which the format has no names for")
    }
    return (a, b)
  }

  /// Refuses what only PEFT's own format can say.
  func requireFactorsOnly(target: String, biases: Bool = false) throws {
    if let tensor = replacements.first(where: { !copiesOfBase.contains($0.name) }) {
      throw ConversionError.noEquivalent(
        path: path, module: tensor.name, target: target,
        reason: "the format holds factors only, no whole tensors of the base"
          + (tensor.name.hasSuffix(".base_layer.weight")
            ? "; with --base MODEL a copy that equals the base's is left out" : ""))
    }
    if settings["target_parameters"]?.array?.isEmpty == false {
      throw ConversionError.noEquivalent(
        path: path, module: nil, target: target,
        reason: "the format has no names for parameters that are no modules")
    }
    if settings["layer_replication"]?.array?.isEmpty == false {
      throw ConversionError.noEquivalent(
        path: path, module: "layer_replication", target: target,
        reason: "the format has no names for layers that the base does not have")
    }
    for module in modules {
      if !biases, module.tensors["lora_B.bias"] != nil {
        throw ConversionError.noEquivalent(
          path: path, module: module.path, target: target, reason: "the format has no biases")
      }
    }
  }

  // MARK: PEFT

  /// The adapter as PEFT's files hold it: only the settings that every version of PEFT knows, and
  /// those others that are in use.
  func peftDraft() -> AdapterDraft {
    var tensors = replacements
    for module in modules {
      for (leaf, tensor) in module.tensors {
        tensors.append(
          module.keepsNames
            ? tensor : tensor.renamed("base_model.model.\(module.path).\(leaf)"))
      }
    }
    tensors.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    let text = JSONValue.object(config).serialized(style: .python(indent: 2), sortKeys: true)
    return AdapterDraft(
      config: Array(text.utf8), tensors: tensors, metadata: metadata, rescaled: rescaled)
  }

  /// `adapter_config.json`: the commonest rank and α, and patterns for the others.
  var config: JSONObject {
    let rank = Self.commonest(modules.map(\.rank)) ?? 8
    let alpha = Self.commonest(modules.map(\.alpha)) ?? Double(rank)
    var ranks = JSONObject()
    var alphas = JSONObject()
    let keys = PatternKeys(paths: modules.map(\.path))
    for module in modules {
      if module.rank != rank { ranks[keys.key(of: module.path)] = .int(module.rank) }
      if module.alpha != alpha { alphas[keys.key(of: module.path)] = Self.number(module.alpha) }
    }
    var config: JSONObject = [
      "peft_type": "LORA", "task_type": nil, "base_model_name_or_path": nil, "revision": nil,
      "inference_mode": true, "r": .int(rank), "lora_alpha": Self.number(alpha),
      "lora_dropout": 0.0, "bias": "none",
      "fan_in_fan_out": .bool(modules.contains(where: \.storedTransposed)),
      "target_modules": .array(modules.map { .string($0.path) }), "modules_to_save": nil,
      "init_lora_weights": true, "layers_to_transform": nil, "layers_pattern": nil,
      "rank_pattern": .object(ranks), "alpha_pattern": .object(alphas),
    ]
    if usesRootScale { config["use_rslora"] = true }
    let leaves = Set(modules.flatMap(\.tensors.keys))
    if leaves.contains("lora_magnitude_vector") { config["use_dora"] = true }
    if leaves.contains("lora_B.bias") { config["lora_bias"] = true }
    for entry in settings.entries { config[entry.key] = entry.value }
    return config
  }

  static func number(_ value: Double) -> JSONValue {
    Int(exactly: value).map { .int($0) } ?? .double(value)
  }

  /// The value that occurs most often; the smallest of several.
  static func commonest<Value: Hashable & Comparable>(_ values: [Value]) -> Value? {
    var counts: [Value: Int] = [:]
    for value in values { counts[value, default: 0] += 1 }
    return counts.max { a, b in
      a.value == b.value ? a.key > b.key : a.value < b.value
    }?.key
  }
}
