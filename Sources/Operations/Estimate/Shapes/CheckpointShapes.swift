import Kernels
import Safetensors

extension ModelShapes {
  /// Tensors of old checkpoints that are not parameters: caches, masks, position numbers.
  private static let buffers = [
    "rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "embeddings.position_ids",
    "num_batches_tracked", "running_mean", "running_var",
  ]

  /// Beyond that, products of dimensions and hyper-parameters could exceed 64 bits.
  private static let largestDimension = 1 << 28

  /// The layers that the headers of `checkpoint` describe.
  ///
  /// - Parameter config: names of the architecture's own say what a layer is; without it, or for
  ///   tensors that it does not know, name and shape do.
  init(_ checkpoint: Checkpoint, config: ArchitectureConfig?) throws(EstimateError) {
    // The weights are enough: a configuration that says too little takes nothing from them.
    let known = config.flatMap { try? Architectures.shapes($0) }
    let byName = LayerNames(known?.layers ?? [])
    var weights = WeightGroups()
    for tensor in checkpoint.tensors where !Self.isBuffer(tensor.info) {
      weights.add(tensor.info)
    }
    var layers: [ModelLayer] = []
    for group in weights.groups {
      if let bias = group.bias, group.weight == nil {
        layers.append(Self.parameter(bias))
      } else {
        let shape = try group.logicalShape(in: checkpoint)
        guard shape.allSatisfy({ $0 <= Self.largestDimension }) else { throw .tooLarge }
        layers.append(Self.layer(group, shape: shape, known: byName[group.module]))
      }
    }
    // A head that shares its weight is in the configuration only.
    let stored = Set(layers.map(\.module))
    for layer in known?.layers ?? [] where layer.isTied && !stored.contains(layer.module) {
      layers.append(layer)
    }
    self.init(layers: layers, facts: known?.facts, modelType: config?.modelType)
  }

  private static func isBuffer(_ tensor: TensorInfo) -> Bool {
    buffers.contains { tensor.name == $0 || tensor.name.hasSuffix("." + $0) }
      // GPT-2's attention bias is a vector where it is a parameter (c_attn.bias) and a mask here.
      && !(tensor.name.hasSuffix("attn.bias") && tensor.shape.count == 1)
  }

  /// A bias without a weight: that of a head whose weight is the embedding's.
  private static func parameter(_ tensor: TensorInfo) -> ModelLayer {
    ModelLayer(
      LayerGeometry(module: tensor.name, kind: .parameter, shape: tensor.shape),
      storedBytes: tensor.byteCount)
  }

  private static func layer(
    _ group: WeightGroup, shape: [Int], known: ModelLayer?
  ) -> ModelLayer {
    let kind = known?.geometry.kind ?? group.kind(shape: shape)
    let geometry = LayerGeometry(
      module: group.module, kind: kind, shape: shape,
      storedTransposed: known?.geometry.storedTransposed ?? group.isConv1D,
      element: group.element, hasBias: group.biasBytes > 0)
    return ModelLayer(
      geometry, isOutputHead: known?.isOutputHead ?? group.isOutputHead,
      tokenShare: known?.tokenShare ?? 1, storedBytes: group.weightBytes + group.biasBytes,
      constantBytes: group.constantBytes)
  }
}

/// Layers by module, found also where one side lacks the prefix of the bare model.
private struct LayerNames {
  private static let prefixes = ["model.", "transformer.", "bert.", "roberta.", "vit.", "dinov2."]
  private var layers: [String: ModelLayer] = [:]

  init(_ list: [ModelLayer]) {
    for layer in list { layers[Self.bare(layer.module)] = layer }
  }

  subscript(module: String) -> ModelLayer? { layers[Self.bare(module)] }

  private static func bare(_ module: String) -> String {
    guard let prefix = prefixes.first(where: module.hasPrefix) else { return module }
    return String(module.dropFirst(prefix.count))
  }
}
