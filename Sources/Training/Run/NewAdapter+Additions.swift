import Kernels
import Operations

/// What a new adapter has beside the layers: bottlenecks, prompts and prefixes.
extension NewAdapter {
  var isPrompt: Bool { method == PromptTuning.self || method == PrefixTuning.self }

  /// Sizes of the model that the method's tensors follow, by their names in PEFT's configuration.
  var modelSettings: [String: Setting] {
    guard isPrompt else { return [:] }
    let isPrefix = method == PrefixTuning.self
    // A prefix is as wide as the keys: with grouped queries PEFT counts only their heads.
    let width = isPrefix ? model.keyWidth : model.width
    let heads =
      isPrefix
      ? model.blocks.first?.attention.shape.keyHeads : model.blocks.first?.attention.shape.heads
    return [
      "token_dim": .integer(width), "num_layers": .integer(model.blockCount),
      "num_attention_heads": .integer(heads ?? 1), "num_transformer_submodules": .integer(1),
    ]
  }

  /// The modules that carry a bottleneck where no targets are given: in series the last layers of
  /// attention and feed-forward (Houlsby et al. 2019, figure 2), in parallel the feed-forwards (He et al.
  /// 2021, table 1).
  var bottleneckModules: [String] {
    guard method == Bottleneck.self, request.targets == nil else { return [] }
    let isParallel = plan.settings["use_parallel_adapter"] == .bool(true)
    return (0..<model.blockCount).flatMap { number -> [String] in
      let block = model.blocks[number]
      return isParallel
        ? [model.feedForwardPath(block: number)]
        : [block.attention.output.path, block.feedForward.down.path]
    }
  }

  /// Writes what `isPrompt` and `bottleneckModules` say. The features on both sides of a bottleneck are
  /// those of the stream.
  func writeAdditions(
    _ settings: MethodSettings, _ generator: inout TorchGenerator, to output: AdapterOutput
  ) throws {
    if isPrompt {
      let start = ModuleStart(
        layer: LayerGeometry(module: "", kind: .parameter, shape: []), settings: settings,
        weight: EmptyRows())
      let tensors = try method.initialTensors(start, generator: &generator)
      for (leaf, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
        try output.add(leaf, tensor.shape, tensor.reals)
      }
    }
    for path in bottleneckModules {
      let layer = LayerGeometry(module: path, kind: .linear, shape: [model.width, model.width])
      let start = ModuleStart(layer: layer, settings: settings, weight: EmptyRows())
      try addModule(path, start, &generator, to: output)
    }
  }
}

/// A weight that a method does not look at.
private struct EmptyRows: RowSource {
  var rows: Int { 0 }
  var columns: Int { 0 }
  func read(into band: RowBand) {}
}
