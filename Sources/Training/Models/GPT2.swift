/// GPT-2: learned positions, LayerNorm first, one layer for queries, keys and values, weights `in × out`.
///
/// Source: Radford et al. 2019 and the model's configuration in transformers.
enum GPT2: Family {
  static let prefix = "transformer."
  static let purpose = TransformerModel.Purpose.causalLM

  static func load(
    _ configuration: ModelConfiguration, from loader: WeightLoader,
    purpose: TransformerModel.Purpose, pooling: ModelInput.Pooling?, context: LayerContext
  ) throws(ModelError) -> TransformerModel {
    let width = try configuration.size("n_embd")
    let heads = try configuration.size("n_head")
    guard width % heads == 0 else {
      throw .setting(name: "n_head", reason: "must divide n_embd")
    }
    let inner = try configuration.integer("n_inner") ?? 4 * width
    let epsilon = try configuration.real("layer_norm_epsilon") ?? 1e-5
    let activation = try configuration.activation("activation_function", default: "gelu_new")
    let scales = try configuration.bool("scale_attn_weights") ?? true
    let scalesByLayer = try configuration.bool("scale_attn_by_inverse_layer_idx") ?? false
    let tokens = try loader.tensor("transformer.wte.weight", [-1, width])
    let positions = try loader.tensor("transformer.wpe.weight", [-1, width])

    var blocks: [TransformerBlock] = []
    for number in 0..<(try configuration.size("n_layer")) {
      let path = "transformer.h.\(number)"
      var scale = scales ? 1 / Float(width / heads).squareRoot() : 1
      if scalesByLayer { scale /= Float(number + 1) }
      let attention = SelfAttention(
        projections: .fused(try loader.conv1D("\(path).attn.c_attn", 3 * width, width)),
        output: try loader.conv1D("\(path).attn.c_proj", width, width),
        shape: SelfAttention.Shape(
          heads: heads, keyHeads: heads, headDim: width / heads, isCausal: true, window: nil,
          scale: scale))
      let feedForward = FeedForward(
        up: try loader.conv1D("\(path).mlp.c_fc", inner, width),
        down: try loader.conv1D("\(path).mlp.c_proj", width, inner), activation: activation)
      blocks.append(
        TransformerBlock(
          attention: attention,
          attentionNorm: try loader.layerNorm("\(path).ln_1", width, epsilon: epsilon),
          feedForward: feedForward,
          feedForwardNorm: try loader.layerNorm("\(path).ln_2", width, epsilon: epsilon),
          order: .normFirst))
    }
    let (head, task) = try decoderHead(
      configuration, from: loader, purpose: purpose, pooling: pooling,
      norm: try loader.layerNorm("transformer.ln_f", width, epsilon: epsilon), embedding: tokens,
      tied: true)
    return TransformerModel(
      context: context, task: task, width: width, longest: positions.matrix.rows,
      embedding: TokenEmbedding(tokens: tokens, positions: positions), blocks: blocks, head: head,
      rotary: nil)
  }
}
