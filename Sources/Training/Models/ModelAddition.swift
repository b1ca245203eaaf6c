import Kernels

/// What is trained beside a model's layers, and where it starts from.
public enum ModelAddition {
  /// A bottleneck beside the feed-forward of block `block`, from its input to its output (He et al. 2021,
  /// the parallel adapter): `width → width`.
  case parallel(block: Int, any AdapterLayer<Float>, start: [String: AdapterTensor])
  /// Prompt tuning: `tokens × width`.
  case prompt(AdapterTensor)
  /// Prefix tuning: `tokens × layers·2·keyWidth`.
  case prefix(AdapterTensor)
}

extension TransformerModel {
  /// The module whose name a parallel adapter of block `number` has: the one that holds the first layer of
  /// the feed-forward.
  public func feedForwardPath(block number: Int) -> String {
    let path = blocks[number].feedForward.up.path
    return path.lastIndex(of: ".").map { String(path[..<$0]) } ?? path
  }

  public var blockCount: Int { blocks.count }
  /// Keys' width in every block: what a prefix has for each layer twice.
  public var keyWidth: Int { blocks.first?.attention.keyWidth ?? 0 }

  /// The parameters' names and shapes.
  func parameters(of addition: ModelAddition) -> [(name: String, shape: [Int])] {
    switch addition {
    case .parallel(let block, let layer, start: _):
      let path = feedForwardPath(block: block)
      return layer.parameters.map { (name: "\(path).\($0.leaf)", shape: $0.shape) }
    case .prompt(let tensor), .prefix(let tensor):
      return [(name: "prompt_embeddings", shape: tensor.shape)]
    }
  }

  /// Puts `addition` in its place.
  ///
  /// - Returns: the adapter, where it is one.
  func attach(
    _ addition: ModelAddition, values: ParameterView<Float>, gradients: ParameterView<Float>
  ) throws(MethodError) -> AttachedAdapter<Float>? {
    switch addition {
    case .parallel(let block, let layer, let start):
      let feedForward = blocks[block].feedForward
      let adapter = AttachedAdapter(
        layer, parameters: values, gradients: gradients, base: feedForward.up.frozen(context),
        products: context.products, workspace: context.workspace)
      try adapter.load(start)
      feedForward.parallel = adapter
      return adapter
    case .prompt(let tensor):
      guard tensor.shape.count == 2, tensor.shape[1] == width, embedding is TokenEmbedding else {
        throw .shape(leaf: "prompt_embeddings", found: tensor.shape, expected: "[tokens, \(width)]")
      }
      place(.input, tensor, values, gradients)
    case .prefix(let tensor):
      let expected = blocks.count * 2 * keyWidth
      guard tensor.shape.count == 2, tensor.shape[1] == expected else {
        throw .shape(
          leaf: "prompt_embeddings", found: tensor.shape, expected: "[tokens, \(expected)]")
      }
      place(.attention, tensor, values, gradients)
    }
    return nil
  }

  private func place(
    _ place: VirtualTokens.Place, _ tensor: AdapterTensor, _ values: ParameterView<Float>,
    _ gradients: ParameterView<Float>
  ) {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    _ = values.values.update(fromContentsOf: tensor.reals)
    let tokens = VirtualTokens(
      place, values: values.matrix(rows: rows, columns: columns),
      gradients: gradients.matrix(rows: rows, columns: columns))
    virtualTokens = tokens
    switch place {
    case .input: (embedding as? TokenEmbedding)?.prompt = tokens
    case .attention:
      for (number, block) in blocks.enumerated() {
        block.attention.prefix = tokens.prefix(layer: number, of: blocks.count)
      }
    }
  }
}
