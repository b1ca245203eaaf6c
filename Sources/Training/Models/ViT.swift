/// ViT for classification of images: squares as tokens, LayerNorm first, a token for the class.
///
/// Names are those of transformers 5; checkpoints of older versions have others.
/// Source: Dosovitskiy et al. 2020 and the model's configuration in transformers.
enum ViT: Family {
  static let prefix = "vit."
  static let purpose = TransformerModel.Purpose.imageClassify

  static func load(
    _ configuration: ModelConfiguration, from loader: WeightLoader,
    purpose: TransformerModel.Purpose, pooling: ModelInput.Pooling?, context: LayerContext
  ) throws(ModelError) -> TransformerModel {
    guard purpose == .imageClassify else {
      throw .setting(name: "task", reason: "ViT can be trained to classify images")
    }
    let width = try configuration.size("hidden_size")
    let heads = try configuration.size("num_attention_heads")
    guard width % heads == 0 else {
      throw .setting(name: "num_attention_heads", reason: "must divide hidden_size")
    }
    let inner = try configuration.size("intermediate_size")
    let epsilon = try configuration.real("layer_norm_eps") ?? 1e-12
    let activation = try configuration.activation("hidden_act", default: "gelu")
    let embedding = try patches(configuration, from: loader, width: width)

    var blocks: [TransformerBlock] = []
    for number in 0..<(try configuration.size("num_hidden_layers")) {
      let path = "vit.layers.\(number)"
      func projection(_ name: String) throws(ModelError) -> Linear {
        try loader.linear("\(path).attention.\(name)", width, width)
      }
      let attention = SelfAttention(
        projections: .separate(
          query: try projection("q_proj"), key: try projection("k_proj"),
          value: try projection("v_proj")), output: try projection("o_proj"),
        shape: SelfAttention.Shape(
          heads: heads, keyHeads: heads, headDim: width / heads, isCausal: false, window: nil,
          scale: 1 / Float(width / heads).squareRoot()))
      let feedForward = FeedForward(
        up: try loader.linear("\(path).mlp.fc1", inner, width),
        down: try loader.linear("\(path).mlp.fc2", width, inner), activation: activation)
      blocks.append(
        TransformerBlock(
          attention: attention,
          attentionNorm: try loader.layerNorm("\(path).layernorm_before", width, epsilon: epsilon),
          feedForward: feedForward,
          feedForwardNorm: try loader.layerNorm(
            "\(path).layernorm_after", width, epsilon: epsilon), order: .normFirst))
    }
    let head = Head(
      norm: try loader.layerNorm("vit.layernorm", width, epsilon: epsilon),
      output: try loader.head("classifier", try configuration.labels(), width, bias: true))
    return TransformerModel(
      context: context, task: .imageClassifier(tokens: embedding.length), width: width,
      longest: nil, embedding: embedding, blocks: blocks, head: head, rotary: nil)
  }

  private static func patches(
    _ configuration: ModelConfiguration, from loader: WeightLoader, width: Int
  ) throws(ModelError) -> PatchEmbedding {
    func sides(_ name: String, _ standard: Int) throws(ModelError) -> (height: Int, width: Int) {
      if case .array? = configuration[name] {
        let sides = try configuration.reals(name) ?? []
        guard sides.count == 2 else { throw .setting(name: name, reason: "must have two sides") }
        return (Int(sides[0]), Int(sides[1]))
      }
      let side = try configuration.integer(name) ?? standard
      return (side, side)
    }
    let image = try sides("image_size", 224)
    let patch = try sides("patch_size", 16)
    let channels = try configuration.integer("num_channels") ?? 3
    guard patch.height > 0, patch.width > 0, image.height % patch.height == 0,
      image.width % patch.width == 0
    else { throw .setting(name: "patch_size", reason: "must divide image_size") }
    let path = "vit.embeddings.patch_embeddings.projection"
    let tokens = image.height / patch.height * (image.width / patch.width) + 1
    return PatchEmbedding(
      projection: Linear(
        path: path,
        weight: try loader.tensor(
          path + ".weight", [width, channels, patch.height, patch.width]),
        bias: try loader.optional(path + ".bias", [width])),
      classToken: try loader.tensor("vit.embeddings.cls_token", [1, 1, width]),
      positions: try loader.tensor("vit.embeddings.position_embeddings", [1, tokens, width]),
      channels: channels, image: image, patch: patch)
  }
}
