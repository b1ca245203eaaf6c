/// DINOv2 as transformers has it: separate query, key and value, a learned scale for each half of a
/// block.
enum DINOv2Shapes: ArchitectureShapes {
  static let modelTypes = ["dinov2"]

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let layers = try config.size("num_hidden_layers", in: ArchitectureConfig.layers)
    let width = try config.size("hidden_size")
    let heads = try config.size("num_attention_heads")
    let hidden = try config.size("mlp_ratio", ratioOf: width)
    let isGated = try config.flag("use_swiglu_ffn", default: false)
    let hasBias = try config.flag("qkv_bias", default: true)
    let patches = try ImagePatches(config, defaultImage: 224, defaultPatch: 14)
    let modelClass = config.modelClass
    // SwiGLU: two thirds of the hidden width, rounded up to a multiple of 8.
    let gated = (hidden * 2 / 3 + 7) / 8 * 8

    var list = LayerList(elementSize: try config.elementSize())
    list.prefix = modelClass == "Dinov2Model" || modelClass.isEmpty ? "" : "dinov2."
    list.parameter("embeddings.cls_token", [1, 1, width])
    list.parameter("embeddings.mask_token", [1, width])
    list.parameter("embeddings.position_embeddings", [1, patches.count + 1, width])
    list.convolution("embeddings.patch_embeddings.projection", patches.kernel(out: width))
    for index in 0..<layers {
      let layer = "encoder.layer.\(index)"
      func dense(_ name: String, _ out: Int, _ size: Int, bias: Bool = true) {
        list.linear("\(layer).\(name)", out, size, bias: bias)
      }
      list.norm("\(layer).norm1", width, bias: true)
      for name in ["query", "key", "value"] {
        dense("attention.attention.\(name)", width, width, bias: hasBias)
      }
      dense("attention.output.dense", width, width)
      list.parameter("\(layer).layer_scale1.lambda1", [width])
      list.norm("\(layer).norm2", width, bias: true)
      if isGated {
        dense("mlp.weights_in", 2 * gated, width)
        dense("mlp.weights_out", width, gated)
      } else {
        dense("mlp.fc1", hidden, width)
        dense("mlp.fc2", width, hidden)
      }
      list.parameter("\(layer).layer_scale2.lambda1", [width])
    }
    list.norm("layernorm", width, bias: true)
    switch modelClass {
    case "Dinov2Model", "Dinov2Backbone", "": break
    case "Dinov2ForImageClassification":
      // Class token and the mean of the patches, side by side.
      list.prefix = ""
      list.linear("classifier", try config.labels(), 2 * width, bias: true)
    default: throw config.invalid("architectures")
    }
    let block = ArchitectureFacts.Block(
      width: width, heads: heads, queryWidth: width, keyValueWidth: width,
      hidden: isGated ? gated : hidden, isGated: isGated)
    return ModelShapes(
      layers: list.layers,
      facts: ArchitectureFacts(
        modelType: "dinov2", width: width, attentionLayers: layers, heads: heads,
        keyValueWidth: width, tokens: .image(patches.count + 1),
        blocks: Array(repeating: block, count: layers)))
  }
}
