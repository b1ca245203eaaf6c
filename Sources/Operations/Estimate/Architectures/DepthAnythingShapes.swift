/// Depth Anything in its original form: a DINOv2 encoder with query, key and value in one matrix, and a
/// dense-prediction head. Its `config.json` holds the constructor's arguments.
enum DepthAnythingShapes: ArchitectureShapes {
  static let modelTypes: [String] = []

  static func recognizes(_ config: ArchitectureConfig) -> Bool {
    config.has("encoder") && config.has("out_channels") && config.has("features")
  }

  /// Width, blocks and heads of the encoders, all with patches of 14.
  private static let encoders = [
    "vits": (width: 384, layers: 12, heads: 6), "vitb": (width: 768, layers: 12, heads: 12),
    "vitl": (width: 1024, layers: 24, heads: 16),
  ]
  private static let patch = 14
  /// Side of the table of positions, in patches, of the pretrained encoders.
  private static let side = 37

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    guard let encoder = encoders[config.json["encoder"]?.string ?? ""] else {
      throw config.invalid("encoder")
    }
    let features = try config.size("features")
    let channels = config.json["out_channels"]?.array?.compactMap(\.int) ?? []
    guard channels.count == 4, channels.allSatisfy(ArchitectureConfig.dimensions.contains) else {
      throw config.invalid("out_channels")
    }
    var list = LayerList(elementSize: try config.elementSize())
    list.prefix = "pretrained."
    appendEncoder(width: encoder.width, layers: encoder.layers, to: &list)
    list.prefix = "depth_head."
    appendHead(
      width: encoder.width, features: features, channels: channels,
      readsClassToken: try config.flag("use_clstoken", default: false),
      normalizes: try config.flag("use_bn", default: false), to: &list)

    let block = ArchitectureFacts.Block(
      width: encoder.width, heads: encoder.heads, queryWidth: encoder.width,
      keyValueWidth: encoder.width, hidden: 4 * encoder.width, isGated: false)
    return ModelShapes(
      layers: list.layers,
      facts: ArchitectureFacts(
        modelType: "depth_anything", width: encoder.width, attentionLayers: encoder.layers,
        heads: encoder.heads, keyValueWidth: encoder.width, tokens: .image(side * side + 1),
        blocks: Array(repeating: block, count: encoder.layers)))
  }

  private static func appendEncoder(width: Int, layers: Int, to list: inout LayerList) {
    list.parameter("cls_token", [1, 1, width])
    list.parameter("pos_embed", [1, side * side + 1, width])
    list.parameter("mask_token", [1, width])
    list.convolution("patch_embed.proj", [width, 3, patch, patch])
    for index in 0..<layers {
      let block = "blocks.\(index)"
      func dense(_ name: String, _ out: Int, _ size: Int) {
        list.linear("\(block).\(name)", out, size, bias: true)
      }
      list.norm("\(block).norm1", width, bias: true)
      dense("attn.qkv", 3 * width, width)
      dense("attn.proj", width, width)
      list.parameter("\(block).ls1.gamma", [width])
      list.norm("\(block).norm2", width, bias: true)
      dense("mlp.fc1", 4 * width, width)
      dense("mlp.fc2", width, 4 * width)
      list.parameter("\(block).ls2.gamma", [width])
    }
    list.norm("norm", width, bias: true)
  }

  private static func appendHead(
    width: Int, features: Int, channels: [Int], readsClassToken: Bool, normalizes: Bool,
    to list: inout LayerList
  ) {
    for (index, channel) in channels.enumerated() {
      list.convolution("projects.\(index)", [channel, width, 1, 1])
    }
    // Transposed convolutions are stored in × out; their bias has as many elements as either here.
    list.convolution("resize_layers.0", [channels[0], channels[0], 4, 4])
    list.convolution("resize_layers.1", [channels[1], channels[1], 2, 2])
    list.convolution("resize_layers.3", [channels[3], channels[3], 3, 3])
    if readsClassToken {
      for index in channels.indices {
        list.linear(
          "readout_projects.\(index).0", width, 2 * width, bias: true)
      }
    }
    for (index, channel) in channels.enumerated() {
      list.convolution("scratch.layer\(index + 1)_rn", [features, channel, 3, 3], bias: false)
    }
    for index in 1...4 {
      let fusion = "scratch.refinenet\(index)"
      list.convolution("\(fusion).out_conv", [features, features, 1, 1])
      for unit in 1...2 {
        for half in 1...2 {
          list.convolution(
            "\(fusion).resConfUnit\(unit).conv\(half)", [features, features, 3, 3])
          if normalizes {
            list.norm("\(fusion).resConfUnit\(unit).bn\(half)", features, bias: true)
          }
        }
      }
    }
    list.convolution("scratch.output_conv1", [features / 2, features, 3, 3])
    list.convolution("scratch.output_conv2.0", [32, features / 2, 3, 3])
    list.convolution("scratch.output_conv2.2", [1, 32, 1, 1])
  }
}
