/// LLaMA, Mistral, Qwen2, Qwen3: RMSNorm, gated MLP, grouped-query attention.
enum LlamaShapes: ArchitectureShapes {
  static let modelTypes = ["llama", "mistral", "qwen2", "qwen3"]

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let decoder = try DecoderSizes(config)
    let hidden = try config.size("intermediate_size")
    // Only LLaMA's class reads the field.
    let statesMLPBias = try config.flag("mlp_bias", default: false)
    let hasMLPBias = config.modelType == "llama" && statesMLPBias
    var list = LayerList(elementSize: try config.elementSize())
    decoder.appendEmbedding(to: &list)
    for index in 0..<decoder.layers {
      decoder.appendAttention(index, to: &list)
      let mlp = "layers.\(index).mlp"
      list.linear(
        "\(mlp).gate_proj", hidden, decoder.width, bias: hasMLPBias)
      list.linear("\(mlp).up_proj", hidden, decoder.width, bias: hasMLPBias)
      list.linear("\(mlp).down_proj", decoder.width, hidden, bias: hasMLPBias)
      decoder.appendNorms(index, to: &list)
    }
    try decoder.appendHead(config, to: &list)
    return ModelShapes(
      layers: list.layers, facts: try decoder.facts(config, hidden: hidden, activeExperts: 1))
  }
}

/// What the decoders in LLaMA's tradition have in common.
struct DecoderSizes {
  let modelType: String
  let modelClass: String
  let layers: Int
  let width: Int
  let heads: Int
  let headSize: Int
  /// Heads times their size.
  let queryWidth: Int
  let keyValueWidth: Int
  let vocabulary: Int
  /// Biases of the projections to query, key and value, and of that back.
  let hasInputBias: Bool
  let hasOutputBias: Bool
  /// Queries and keys are normalised, each head on its own.
  let normalizesHeads: Bool

  init(_ config: ArchitectureConfig) throws(EstimateError) {
    modelType = config.modelType ?? ""
    modelClass = config.modelClass
    layers = try config.size("num_hidden_layers", in: ArchitectureConfig.layers)
    width = try config.size("hidden_size")
    heads = try config.size("num_attention_heads")
    let keyHeads = try config.size("num_key_value_heads", default: heads)
    guard config.has("head_dim") || width % heads == 0 else {
      throw config.invalid("num_attention_heads")
    }
    headSize = try config.size("head_dim", default: width / heads)
    queryWidth = try config.size("head_dim", product: heads, headSize)
    keyValueWidth = try config.size("num_key_value_heads", product: keyHeads, headSize)
    vocabulary = try config.size("vocab_size")
    let attentionBias = try config.flag("attention_bias", default: false)
    switch modelType {
    case "qwen2": (hasInputBias, hasOutputBias) = (true, false)
    case "llama", "qwen3": (hasInputBias, hasOutputBias) = (attentionBias, attentionBias)
    default: (hasInputBias, hasOutputBias) = (false, false)
    }
    normalizesHeads = modelType == "qwen3"
  }

  /// Saved from the bare model, without a head and without `model.` before the names.
  private var isBare: Bool { modelClass.hasSuffix("Model") }

  func appendEmbedding(to list: inout LayerList) {
    list.prefix = isBare ? "" : "model."
    list.embedding("embed_tokens", vocabulary, width)
  }

  func appendAttention(_ index: Int, to list: inout LayerList) {
    let attention = "layers.\(index).self_attn"
    for (name, out) in [("q", queryWidth), ("k", keyValueWidth), ("v", keyValueWidth)] {
      list.linear("\(attention).\(name)_proj", out, width, bias: hasInputBias)
    }
    list.linear(
      "\(attention).o_proj", width, queryWidth, bias: hasOutputBias)
    if normalizesHeads {
      list.norm("\(attention).q_norm", headSize, bias: false)
      list.norm("\(attention).k_norm", headSize, bias: false)
    }
  }

  func appendNorms(_ index: Int, to list: inout LayerList) {
    list.norm("layers.\(index).input_layernorm", width, bias: false)
    list.norm("layers.\(index).post_attention_layernorm", width, bias: false)
  }

  func appendHead(
    _ config: ArchitectureConfig, to list: inout LayerList
  ) throws(EstimateError) {
    list.norm("norm", width, bias: false)
    list.prefix = ""
    if modelClass.hasSuffix("ForCausalLM") || modelClass.isEmpty {
      let tied = try config.flag("tie_word_embeddings", default: false)
      list.head("lm_head", vocabulary, width, tied: tied)
    } else if modelClass.hasSuffix("ForSequenceClassification") {
      list.head("score", try config.labels(), width)
    } else if modelClass.hasSuffix("ForTokenClassification") {
      list.linear("score", try config.labels(), width, bias: true)
    } else if !isBare {
      throw config.invalid("architectures")
    }
  }

  func facts(
    _ config: ArchitectureConfig, hidden: Int, activeExperts: Int
  ) throws(EstimateError) -> ArchitectureFacts {
    let block = ArchitectureFacts.Block(
      width: width, heads: heads, queryWidth: queryWidth, keyValueWidth: keyValueWidth,
      hidden: hidden, isGated: true, activeExperts: activeExperts,
      normalizesHeads: normalizesHeads)
    return ArchitectureFacts(
      modelType: modelType, width: width, attentionLayers: layers, heads: heads,
      keyValueWidth: keyValueWidth,
      tokens: .text(maximum: try config.size("max_position_embeddings", default: 2048)),
      vocabulary: modelClass.hasSuffix("ForCausalLM") || modelClass.isEmpty ? vocabulary : 0,
      blocks: Array(repeating: block, count: layers))
  }
}
