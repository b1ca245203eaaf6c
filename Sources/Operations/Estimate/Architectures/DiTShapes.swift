/// Diffusion transformers in their original form (query, key and value in one matrix, norms modulated
/// by the condition). Their configuration holds the constructor's arguments.
enum DiTShapes: ArchitectureShapes {
  static let modelTypes: [String] = []

  static func recognizes(_ config: ArchitectureConfig) -> Bool {
    config.has("depth") && config.has("hidden_size") && config.has("learn_sigma")
      && config.has("in_channels")
  }

  /// Sines and cosines that a time step is turned into.
  private static let frequencies = 256

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let layers = try config.size("depth", in: ArchitectureConfig.layers)
    let width = try config.size("hidden_size")
    let heads = try config.size("num_heads")
    let hidden = try config.size("mlp_ratio", ratioOf: width)
    let channels = try config.size("in_channels", in: 1...1024)
    let side = try config.size("input_size", in: 1...16384)
    let patch = try config.size("patch_size", in: 1...side)
    let classes = try config.size("num_classes", default: 1000)
    // Classifier-free guidance trains a row for "no class".
    let dropsClasses = config.json["class_dropout_prob"]?.double != 0
    let outChannels = try config.flag("learn_sigma", default: true) ? 2 * channels : channels
    let patches = (side / patch) * (side / patch)
    // The condition is one vector for all tokens of a sample.
    let perSample = 1 / Double(patches)

    var list = LayerList(elementSize: try config.elementSize())
    list.parameter("pos_embed", [1, patches, width])
    list.convolution("x_embedder.proj", [width, channels, patch, patch])
    list.linear("t_embedder.mlp.0", width, frequencies, bias: true)
    list.linear("t_embedder.mlp.2", width, width, bias: true)
    list.embedding("y_embedder.embedding_table", classes + (dropsClasses ? 1 : 0), width)
    for index in 0..<layers {
      let block = "blocks.\(index)"
      func dense(_ name: String, _ out: Int, _ size: Int) {
        list.linear("\(block).\(name)", out, size, bias: true)
      }
      dense("attn.qkv", 3 * width, width)
      dense("attn.proj", width, width)
      dense("mlp.fc1", hidden, width)
      dense("mlp.fc2", width, hidden)
      list.linear(
        "\(block).adaLN_modulation.1", 6 * width, width, bias: true,
        tokenShare: perSample)
    }
    list.linear(
      "final_layer.linear", patch * patch * outChannels, width, bias: true)
    list.linear(
      "final_layer.adaLN_modulation.1", 2 * width, width, bias: true,
      tokenShare: perSample)

    let block = ArchitectureFacts.Block(
      width: width, heads: heads, queryWidth: width, keyValueWidth: width, hidden: hidden,
      isGated: false)
    return ModelShapes(
      layers: list.layers,
      facts: ArchitectureFacts(
        modelType: "dit", width: width, attentionLayers: layers, heads: heads,
        keyValueWidth: width, tokens: .image(patches),
        blocks: Array(repeating: block, count: layers)))
  }
}
