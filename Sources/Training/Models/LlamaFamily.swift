import Kernels

/// LLaMA and what is built like it: Mistral (a window), Qwen2 (biases), Qwen3 (normalised heads).
///
/// Source: Touvron et al. 2023 and the models' configurations in transformers.
enum LlamaFamily: Family {
  static let prefix = "model."
  static let purpose = TransformerModel.Purpose.causalLM

  static func load(
    _ configuration: ModelConfiguration, from loader: WeightLoader,
    purpose: TransformerModel.Purpose, pooling: ModelInput.Pooling?, context: LayerContext
  ) throws(ModelError) -> TransformerModel {
    let width = try configuration.size("hidden_size")
    let heads = try configuration.size("num_attention_heads")
    let keyHeads = try configuration.integer("num_key_value_heads") ?? heads
    let headDim = try configuration.integer("head_dim") ?? width / heads
    guard keyHeads > 0, heads % keyHeads == 0 else {
      throw .setting(name: "num_key_value_heads", reason: "must divide num_attention_heads")
    }
    let epsilon = try configuration.real("rms_norm_eps") ?? 1e-6
    let inner = try configuration.size("intermediate_size")
    let activation = try configuration.activation("hidden_act", default: "silu")
    let rotary = try RotaryEmbedding(configuration, headDim: headDim)
    let tokens = try loader.tensor("model.embed_tokens.weight", [-1, width])

    var blocks: [TransformerBlock] = []
    for number in 0..<(try configuration.size("num_hidden_layers")) {
      let path = "model.layers.\(number)"
      func projection(_ name: String, _ heads: Int) throws(ModelError) -> Linear {
        try loader.linear("\(path).self_attn.\(name)", heads * headDim, width)
      }
      func headNorm(_ name: String) throws(ModelError) -> Normalization? {
        let path = "\(path).self_attn.\(name)"
        return loader.contains(path + ".weight")
          ? try loader.rmsNorm(path, headDim, epsilon: epsilon) : nil
      }
      let shape = SelfAttention.Shape(
        heads: heads, keyHeads: keyHeads, headDim: headDim, isCausal: true,
        window: try window(configuration, layer: number),
        scale: 1 / Float(headDim).squareRoot())
      let attention = SelfAttention(
        projections: .separate(
          query: try projection("q_proj", heads), key: try projection("k_proj", keyHeads),
          value: try projection("v_proj", keyHeads)),
        output: try loader.linear("\(path).self_attn.o_proj", width, heads * headDim),
        shape: shape, queryNorm: try headNorm("q_norm"), keyNorm: try headNorm("k_norm"),
        rotary: rotary)
      let feedForward = FeedForward(
        gate: try loader.linear("\(path).mlp.gate_proj", inner, width),
        up: try loader.linear("\(path).mlp.up_proj", inner, width),
        down: try loader.linear("\(path).mlp.down_proj", width, inner), activation: activation)
      blocks.append(
        TransformerBlock(
          attention: attention,
          attentionNorm: try loader.rmsNorm("\(path).input_layernorm", width, epsilon: epsilon),
          feedForward: feedForward,
          feedForwardNorm: try loader.rmsNorm(
            "\(path).post_attention_layernorm", width, epsilon: epsilon), order: .normFirst))
    }
    let (head, task) = try decoderHead(
      configuration, from: loader, purpose: purpose, pooling: pooling,
      norm: try loader.rmsNorm("model.norm", width, epsilon: epsilon), embedding: tokens,
      tied: false)
    return TransformerModel(
      context: context, task: task, width: width, longest: nil,
      embedding: TokenEmbedding(tokens: tokens), blocks: blocks, head: head, rotary: rotary)
  }

  /// How far the tokens of a layer see; nil for all the way.
  private static func window(
    _ configuration: ModelConfiguration, layer: Int
  ) throws(ModelError) -> Int? {
    switch try configuration.text("model_type") {
    case "mistral":
      // Where the setting is left out, the family's default holds.
      return configuration.states("sliding_window")
        ? try configuration.integer("sliding_window") : 4096
    case "qwen2", "qwen3":
      guard try configuration.bool("use_sliding_window") ?? false else { return nil }
      let window = try configuration.integer("sliding_window") ?? 4096
      if let types = try configuration.texts("layer_types") {
        guard layer < types.count else {
          throw .setting(name: "layer_types", reason: "has too few entries")
        }
        return types[layer] == "sliding_attention" ? window : nil
      }
      return layer >= (try configuration.integer("max_window_layers") ?? 28) ? window : nil
    default: return nil
    }
  }
}

extension RotaryEmbedding {
  /// By `rope_parameters`, or by `rope_theta` and `rope_scaling` as older configurations have it.
  convenience init(_ configuration: ModelConfiguration, headDim: Int) throws(ModelError) {
    let parameters =
      configuration.object("rope_parameters") ?? configuration.object("rope_scaling")
      ?? ModelConfiguration([:])
    func setting(_ name: String, default standard: Double) throws(ModelError) -> Double {
      if let value = try parameters.real(name) { return value }
      return try configuration.real(name) ?? standard
    }
    let part = try setting("partial_rotary_factor", default: 1)
    self.init(
      dim: Int(Double(headDim) * part) & ~1, theta: try setting("rope_theta", default: 10_000),
      scaling: try RotaryScaling(parameters, configuration))
  }
}

extension RotaryScaling {
  /// The kind that `rope_type` (older: `type`) names.
  init(_ parameters: ModelConfiguration, _ configuration: ModelConfiguration) throws(ModelError) {
    func number(_ name: String) throws(ModelError) -> Double {
      guard let value = try parameters.real(name) else {
        throw .setting(name: "rope_parameters.\(name)", reason: "is missing")
      }
      return value
    }
    // Older configurations say `type`.
    let (type, oldType) = (try parameters.text("rope_type"), try parameters.text("type"))
    let maximum = try configuration.integer("max_position_embeddings") ?? 2048
    let outer = try configuration.integer("original_max_position_embeddings")
    let original = try parameters.integer("original_max_position_embeddings") ?? outer ?? maximum
    switch type ?? oldType ?? "default" {
    case "default": self = .none
    case "linear": self = .linear(factor: try number("factor"))
    case "dynamic": self = .dynamic(factor: try number("factor"), maximum: maximum)
    case "yarn":
      let factor = try parameters.real("factor") ?? Double(maximum) / Double(original)
      var attention = try parameters.real("attention_factor")
      if attention == nil, let scale = try parameters.real("mscale"), scale != 0,
        let all = try parameters.real("mscale_all_dim"), all != 0
      {
        attention =
          Yarn.attention(factor: factor, scale: scale) / Yarn.attention(factor: factor, scale: all)
      }
      self = .yarn(
        Yarn(
          factor: factor, fast: try parameters.real("beta_fast") ?? 32,
          slow: try parameters.real("beta_slow") ?? 1, original: original,
          truncates: try parameters.bool("truncate") ?? true,
          attention: attention ?? Yarn.attention(factor: factor)))
    case "llama3":
      self = .llama3(
        factor: try number("factor"), lowFrequency: try number("low_freq_factor"),
        highFrequency: try number("high_freq_factor"), original: original)
    case "longrope":
      guard let short = try parameters.reals("short_factor"),
        let long = try parameters.reals("long_factor")
      else { throw .setting(name: "rope_parameters", reason: "lacks short_factor or long_factor") }
      let factor = try parameters.real("factor") ?? Double(maximum) / Double(original)
      self = .longRope(
        short: short, long: long, original: original,
        attention: try parameters.real("attention_factor")
          ?? Self.longRopeAttention(factor: factor, original: original))
    case let type:
      throw .setting(name: "rope_parameters.rope_type", reason: "\(type) is not supported")
    }
  }

  /// `√(1 + ln factor / ln original)`.
  private static func longRopeAttention(factor: Double, original: Int) -> Double {
    if factor <= 1 { return 1 }
    let ratio =
      ReproducibleMath.logarithm(factor) / ReproducibleMath.logarithm(Double(original))
    return (1 + ratio).squareRoot()
  }
}
