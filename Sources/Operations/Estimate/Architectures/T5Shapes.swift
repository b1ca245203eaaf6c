/// T5 and mT5 with encoder and decoder; RMSNorm, no biases.
enum T5Shapes: ArchitectureShapes {
  static let modelTypes = ["t5", "mt5"]

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let layers = try config.size("num_layers", in: ArchitectureConfig.layers)
    let decoderLayers = try config.size(
      "num_decoder_layers", default: layers, in: ArchitectureConfig.layers)
    let width = try config.size("d_model")
    let heads = try config.size("num_heads")
    let inner = try config.size("d_kv", product: heads, config.size("d_kv"))
    let hidden = try config.size("d_ff")
    let vocabulary = try config.size("vocab_size")
    let buckets = try config.size("relative_attention_num_buckets", default: 32)
    let defaultForm = config.modelType == "mt5" ? "gated-gelu" : "relu"
    let isGated = (config.json["feed_forward_proj"]?.string ?? defaultForm).hasPrefix("gated-")
    let modelClass = config.modelClass
    let hasHead = modelClass.hasSuffix("ForConditionalGeneration") || modelClass.isEmpty
    guard hasHead || modelClass.hasSuffix("Model") && !modelClass.hasSuffix("EncoderModel") else {
      throw config.invalid("architectures")
    }

    var list = LayerList(elementSize: try config.elementSize())
    list.embedding("shared", vocabulary, width)
    for (stack, count) in [("encoder", layers), ("decoder", decoderLayers)] {
      for index in 0..<count {
        let block = "\(stack).block.\(index)"
        appendAttention(
          "\(block).layer.0.SelfAttention", width: width, inner: inner, to: &list)
        if index == 0 {
          list.embedding(
            "\(block).layer.0.SelfAttention.relative_attention_bias", buckets, heads)
        }
        list.norm("\(block).layer.0.layer_norm", width, bias: false)
        var next = 1
        if stack == "decoder" {
          appendAttention(
            "\(block).layer.1.EncDecAttention", width: width, inner: inner, to: &list)
          list.norm("\(block).layer.1.layer_norm", width, bias: false)
          next = 2
        }
        let dense = "\(block).layer.\(next).DenseReluDense"
        for name in isGated ? ["wi_0", "wi_1"] : ["wi"] {
          list.linear("\(dense).\(name)", hidden, width)
        }
        list.linear("\(dense).wo", width, hidden)
        list.norm("\(block).layer.\(next).layer_norm", width, bias: false)
      }
      list.norm("\(stack).final_layer_norm", width, bias: false)
    }
    if hasHead {
      let tied = try config.flag("tie_word_embeddings", default: true)
      list.head("lm_head", vocabulary, width, tied: tied)
    }

    let encoderBlock = ArchitectureFacts.Block(
      width: width, heads: heads, queryWidth: inner, keyValueWidth: inner, hidden: hidden,
      isGated: isGated)
    var decoderBlock = encoderBlock
    (decoderBlock.keptStreams, decoderBlock.attentions) = (3, 2)
    return ModelShapes(
      layers: list.layers,
      facts: ArchitectureFacts(
        modelType: config.modelType ?? "", width: width, attentionLayers: decoderLayers,
        heads: heads, keyValueWidth: inner, tokens: .text(maximum: .max),
        vocabulary: hasHead ? vocabulary : 0, submodules: 2,
        blocks: Array(repeating: encoderBlock, count: layers)
          + Array(repeating: decoderBlock, count: decoderLayers)))
  }

  private static func appendAttention(
    _ module: String, width: Int, inner: Int, to list: inout LayerList
  ) {
    list.linear("\(module).q", inner, width)
    list.linear("\(module).k", inner, width)
    list.linear("\(module).v", inner, width)
    list.linear("\(module).o", width, inner)
  }
}
