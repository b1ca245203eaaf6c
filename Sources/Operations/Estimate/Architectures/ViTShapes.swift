/// Vision transformers with separate query, key and value.
enum ViTShapes: ArchitectureShapes {
  static let modelTypes = ["vit"]

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let layers = try config.size("num_hidden_layers", in: ArchitectureConfig.layers)
    let width = try config.size("hidden_size")
    let heads = try config.size("num_attention_heads")
    let hidden = try config.size("intermediate_size")
    let hasBias = try config.flag("qkv_bias", default: true)
    let patches = try ImagePatches(config, defaultImage: 224, defaultPatch: 16)
    let modelClass = config.modelClass

    var list = LayerList(elementSize: try config.elementSize())
    list.prefix = modelClass == "ViTModel" ? "" : "vit."
    list.parameter("embeddings.cls_token", [1, 1, width])
    list.parameter("embeddings.position_embeddings", [1, patches.count + 1, width])
    list.convolution("embeddings.patch_embeddings.projection", patches.kernel(out: width))
    for index in 0..<layers {
      let layer = "encoder.layer.\(index)"
      func dense(_ name: String, _ out: Int, _ size: Int, bias: Bool = true) {
        list.linear("\(layer).\(name)", out, size, bias: bias)
      }
      for name in ["query", "key", "value"] {
        dense(
          "attention.attention.\(name)", width, width, bias: hasBias)
      }
      dense("attention.output.dense", width, width)
      dense("intermediate.dense", hidden, width)
      dense("output.dense", width, hidden)
      list.norm("\(layer).layernorm_before", width, bias: true)
      list.norm("\(layer).layernorm_after", width, bias: true)
    }
    list.norm("layernorm", width, bias: true)
    switch modelClass {
    case "ViTModel", "":
      let pooled = try config.size("pooler_output_size", default: width)
      list.linear("pooler.dense", pooled, width, bias: true)
    case "ViTForImageClassification":
      list.prefix = ""
      list.linear("classifier", try config.labels(), width, bias: true)
    default: throw config.invalid("architectures")
    }
    let block = ArchitectureFacts.Block(
      width: width, heads: heads, queryWidth: width, keyValueWidth: width, hidden: hidden,
      isGated: false)
    return ModelShapes(
      layers: list.layers,
      facts: ArchitectureFacts(
        modelType: "vit", width: width, attentionLayers: layers, heads: heads,
        keyValueWidth: width, tokens: .image(patches.count + 1),
        blocks: Array(repeating: block, count: layers)))
  }
}

/// The patches that an image is cut into.
struct ImagePatches {
  let side: Int
  let channels: Int
  /// Patches of an image, without the class token.
  let count: Int

  init(
    _ config: ArchitectureConfig, defaultImage: Int, defaultPatch: Int
  ) throws(EstimateError) {
    let image = try config.size("image_size", default: defaultImage, in: 1...16384)
    side = try config.size("patch_size", default: defaultPatch, in: 1...image)
    channels = try config.size("num_channels", default: 3, in: 1...1024)
    count = (image / side) * (image / side)
  }

  /// The shape of the convolution that projects a patch: `out × channels × side × side`.
  func kernel(out: Int) -> [Int] { [out, channels, side, side] }
}
