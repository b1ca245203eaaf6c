/// BERT for classification of sequences: learned positions and types, LayerNorm after each sum, every
/// token sees every other, a pooler over the first token or a mean over all.
///
/// Source: Devlin et al. 2019 and the model's configuration in transformers.
enum BERT: Family {
  static let prefix = "bert."
  static let purpose = TransformerModel.Purpose.classify

  static func load(
    _ configuration: ModelConfiguration, from loader: WeightLoader,
    purpose: TransformerModel.Purpose, pooling: ModelInput.Pooling?, context: LayerContext
  ) throws(ModelError) -> TransformerModel {
    guard purpose == .classify else {
      throw .setting(name: "task", reason: "BERT can be trained to classify")
    }
    let width = try configuration.size("hidden_size")
    let heads = try configuration.size("num_attention_heads")
    guard width % heads == 0 else {
      throw .setting(name: "num_attention_heads", reason: "must divide hidden_size")
    }
    let inner = try configuration.size("intermediate_size")
    let epsilon = try configuration.real("layer_norm_eps") ?? 1e-12
    let activation = try configuration.activation("hidden_act", default: "gelu")
    let positions = try loader.tensor(
      "bert.embeddings.position_embeddings.weight", [-1, width])
    let embedding = TokenEmbedding(
      tokens: try loader.tensor("bert.embeddings.word_embeddings.weight", [-1, width]),
      positions: positions,
      types: try loader.tensor("bert.embeddings.token_type_embeddings.weight", [-1, width]),
      norm: try loader.layerNorm("bert.embeddings.LayerNorm", width, epsilon: epsilon))

    var blocks: [TransformerBlock] = []
    for number in 0..<(try configuration.size("num_hidden_layers")) {
      let path = "bert.encoder.layer.\(number)"
      let attention = SelfAttention(
        projections: .separate(
          query: try loader.linear("\(path).attention.self.query", width, width),
          key: try loader.linear("\(path).attention.self.key", width, width),
          value: try loader.linear("\(path).attention.self.value", width, width)),
        output: try loader.linear("\(path).attention.output.dense", width, width),
        shape: SelfAttention.Shape(
          heads: heads, keyHeads: heads, headDim: width / heads, isCausal: false, window: nil,
          scale: 1 / Float(width / heads).squareRoot()))
      let feedForward = FeedForward(
        up: try loader.linear("\(path).intermediate.dense", inner, width),
        down: try loader.linear("\(path).output.dense", width, inner), activation: activation)
      blocks.append(
        TransformerBlock(
          attention: attention,
          attentionNorm: try loader.layerNorm(
            "\(path).attention.output.LayerNorm", width, epsilon: epsilon),
          feedForward: feedForward,
          feedForwardNorm: try loader.layerNorm(
            "\(path).output.LayerNorm", width, epsilon: epsilon), order: .normLast))
    }
    let pooling = pooling ?? .first
    let head = Head(
      norm: nil,
      pooler: pooling == .first
        ? try loader.head("bert.pooler.dense", width, width, bias: true) : nil,
      output: try loader.head("classifier", try configuration.labels(), width, bias: true))
    return TransformerModel(
      context: context, task: .classifier(pooling), width: width, longest: positions.matrix.rows,
      embedding: embedding, blocks: blocks, head: head, rotary: nil)
  }
}
