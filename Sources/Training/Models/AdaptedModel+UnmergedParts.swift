import Adapters
import Kernels

/// The parts of an adapter that no weight takes up: bottlenecks, prompts and prefixes.
struct UnmergedParts {
  var layers: [(linear: Linear, layer: any AdapterLayer<Float>, start: [String: AdapterTensor])] =
    []
  var additions: [ModelAddition] = []
  /// The tensors of the adapter's file by the names of the parameters.
  var fileNames: [String: [String]] = [:]

  /// - Parameter linear: finds a layer by its module's path.
  init(
    of binding: AdapterBinding, loader: AdapterLoader, on model: TransformerModel,
    linear: (String) -> Linear?
  ) throws {
    let blocks = Dictionary(
      (0..<model.blockCount).map { (model.feedForwardPath(block: $0), $0) },
      uniquingKeysWith: { first, _ in first })
    for module in binding.contents.modules where module.method.descriptor.notMergeable != nil {
      let start = try module.tensors.mapValues { try loader.tensor($0) }
      for (leaf, info) in module.tensors {
        let path = linear(module.path)?.path ?? module.path
        fileNames[leaf == "prompt_embeddings" ? leaf : "\(path).\(leaf)"] = [info.name]
      }
      if module.method == PromptTuning.self, let prompt = start["prompt_embeddings"] {
        additions.append(.prompt(prompt))
      } else if module.method == PrefixTuning.self, let prefix = start["prompt_embeddings"] {
        additions.append(.prefix(prefix))
      } else if module.method == Bottleneck.self {
        let (found, block) = (linear(module.path), blocks[module.path])
        guard found != nil || block != nil else {
          throw AdapterTrainingError.missingModule(module.path)
        }
        let layer = try Self.bottleneck(
          module, tensors: start, inFeatures: found?.inFeatures ?? model.width,
          outFeatures: found?.outFeatures ?? model.width)
        if let found {
          layers.append((found, layer, start))
        } else if let block {
          additions.append(.parallel(block: block, layer, start: start))
        }
      } else {
        throw AdapterTrainingError.method(
          title: module.method.descriptor.title, module: module.path)
      }
    }
  }

  private static func bottleneck(
    _ module: AdaptedModule, tensors: [String: AdapterTensor], inFeatures: Int, outFeatures: Int
  ) throws(AdapterTrainingError) -> any AdapterLayer<Float> {
    let layer = LayerGeometry(
      module: module.path, kind: .linear, shape: [outFeatures, inFeatures])
    do throws(MethodError) {
      return try Bottleneck(
        AdapterModule(layer: layer, settings: module.settings, tensors: tensors)
      ).trainingLayer(Float.self)
    } catch { throw .module(module.path, error) }
  }
}
