import Kernels

/// A method that trains tokens in front of the text, or their keys and values.
protocol PromptMethodCount: MethodCount {}

extension PromptMethodCount {
  static var rank: String? { "num_virtual_tokens" }
  static var defaults: [String: Setting] { ["num_virtual_tokens": .integer(20)] }
  static var table: DefaultTargets.Table { .none }
  static var kinds: Set<LayerGeometry.Kind> { [] }

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> ParameterCount { ParameterCount() }

  /// Numbers of a method whose tensors belong to no layer.
  static func count<Method: TrainableMethod>(
    _ method: Method.Type, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    _ = try settings.size("num_virtual_tokens")
    let none = LayerGeometry(module: "", kind: .parameter, shape: [])
    return ParameterCount(trained: try method.parameterCount(layer: none, settings: settings))
  }
}

/// Prompt tuning: `l·d`, of encoder and decoder each.
enum PromptCount: PromptMethodCount {
  static let names = PromptTuning.descriptor.names + ["prompt_tuning"]

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let facts = try modules.facts()
    return try count(
      PromptTuning.self,
      settings.setting("token_dim", to: .integer(facts.width))
        .setting("num_transformer_submodules", to: .integer(facts.submodules)))
  }
}

/// Multitask prompt tuning: a prompt and for each task a change of rank `num_ranks`.
enum MultitaskPromptCount: PromptMethodCount {
  static let names = ["multitask_prompt_tuning"]

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let facts = try modules.facts()
    let tokens = try settings.size("num_virtual_tokens") * facts.submodules
    let ranks = try settings.integer("num_ranks") == nil ? 1 : settings.size("num_ranks")
    let tasks =
      try settings.integer("num_tasks") == nil ? 1 : settings.size("num_tasks", in: 1...65536)
    return ParameterCount(
      trained: tokens * facts.width + tasks * ranks * (tokens + facts.width))
  }
}

/// P-tuning: a prompt that a small network makes; the network is trained too, and gone when saved.
enum PTuningCount: PromptMethodCount {
  static let names = ["p_tuning", "ptuning"]

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let facts = try modules.facts()
    let width = facts.width
    let tokens = try settings.size("num_virtual_tokens") * facts.submodules
    let hidden =
      try settings.integer("encoder_hidden_size") == nil
      ? width : settings.size("encoder_hidden_size", in: 1...(1 << 20))
    let network: Int
    switch try settings.text("encoder_reparameterization_type") ?? "MLP" {
    case "MLP":
      network = linear(hidden, width) + linear(hidden, hidden) + linear(width, hidden)
    case "LSTM":
      let layers =
        try settings.integer("encoder_num_layers") == nil
        ? 2 : settings.size("encoder_num_layers", in: 1...64)
      let first = 2 * gates(input: width, hidden: hidden)
      let others = (layers - 1) * 2 * gates(input: 2 * hidden, hidden: hidden)
      network = first + others + linear(2 * hidden, 2 * hidden) + linear(width, 2 * hidden)
    default:
      throw .setting(name: "encoder_reparameterization_type", reason: "must be MLP or LSTM")
    }
    return ParameterCount(trained: tokens * width + network)
  }

  private static func linear(_ out: Int, _ input: Int) -> Int { out * input + out }
  /// Four gates, each with two biases.
  private static func gates(input: Int, hidden: Int) -> Int {
    4 * hidden * (input + hidden) + 8 * hidden
  }
}

/// Prefix tuning: keys and values of `l` tokens in every layer, `l·2·L·d_kv`; with a projection, a
/// network that makes them.
enum PrefixCount: PromptMethodCount {
  static let names = PrefixTuning.descriptor.names + ["prefix_tuning"]
  static let defaults: [String: Setting] = ["num_virtual_tokens": .integer(30)]

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let facts = try modules.facts()
    let dim = facts.keyValueWidth
    guard try settings.bool("prefix_projection") ?? false else {
      return try count(
        PrefixTuning.self,
        settings.setting("token_dim", to: .integer(dim))
          .setting("num_layers", to: .integer(facts.attentionLayers)))
    }
    let hidden =
      try settings.integer("encoder_hidden_size") == nil
      ? dim : settings.size("encoder_hidden_size")
    let width = 2 * facts.attentionLayers * dim
    return ParameterCount(
      trained: try settings.size("num_virtual_tokens") * dim + hidden * (dim + 1)
        + width * (hidden + 1))
  }
}

/// Cartridge: prefix tuning with the first tokens frozen.
enum CartridgeCount: PromptMethodCount {
  static let names = ["cartridge"]

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let facts = try modules.facts()
    let tokens = try settings.size("num_virtual_tokens")
    let frozen = try settings.integer("num_frozen_tokens") ?? 1
    guard (0..<tokens).contains(frozen) else {
      throw .setting(name: "num_frozen_tokens", reason: "must be less than num_virtual_tokens")
    }
    let width = 2 * facts.attentionLayers * facts.keyValueWidth
    return ParameterCount(trained: (tokens - frozen) * width, frozen: frozen * width)
  }
}

/// LLaMA-Adapter: tokens in the last layers' attention, each layer behind a gate.
enum AdaptionPromptCount: PromptMethodCount {
  static let names = ["adaption_prompt"]
  static let rank: String? = "adapter_len"
  static let defaults: [String: Setting] = ["adapter_len": .integer(10)]

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let facts = try modules.facts()
    let layers =
      try settings.integer("adapter_layers") == nil
      ? facts.attentionLayers
      : settings.size("adapter_layers", in: 1...facts.attentionLayers)
    return ParameterCount(trained: layers * (try settings.size("adapter_len") * facts.width + 1))
  }
}
