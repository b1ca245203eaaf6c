import Adapters
import Kernels
import Safetensors

/// Why an adapter cannot be trained on a model.
public enum AdapterTrainingError: Error, Equatable, Sendable {
  /// The method has no training.
  case method(title: String, module: String)
  /// The model has no linear layer or tensor that the adapter's part would go to.
  case missingModule(String)
  case module(String, MethodError)
  /// ReLoRA on what is not plain LoRA.
  case restart(module: String)
  case shape(tensor: String, found: [Int], expected: [Int])
}

extension AdaptedModel {
  /// The model with an adapter that was read from a file, to be trained on.
  ///
  /// - Parameter restarts: LoRA's layers can be restarted (ReLoRA); layers of other methods are refused.
  public convenience init(
    _ model: TransformerModel, adapter binding: AdapterBinding, restarts: Bool = false
  ) throws {
    let loader = AdapterLoader(binding)
    var byName: [String: BaseTensor] = [:]
    for tensor in model.tensors {
      byName[tensor.name] = tensor
      if let stored = tensor.storedName { byName[stored] = tensor }
    }
    var replaced: [(tensor: BaseTensor, values: AdapterTensor)] = []
    var fileNames: [String: [String]] = [:]
    func replace(_ name: String, by info: TensorInfo) throws {
      let values = try loader.tensor(info)
      guard let tensor = byName[name] else { throw AdapterTrainingError.missingModule(name) }
      guard tensor.shape == values.shape else {
        throw AdapterTrainingError.shape(
          tensor: name, found: values.shape, expected: tensor.shape)
      }
      fileNames[tensor.name, default: []].append(info.name)
      // PEFT saves a bias twice that is trained by two settings.
      if !replaced.contains(where: { $0.tensor === tensor }) { replaced.append((tensor, values)) }
    }

    var layers: [(linear: Linear, layer: any AdapterLayer<Float>, start: [String: AdapterTensor])] =
      []
    for bound in binding.modules {
      if bound.module.method == NormTuning.self {
        for (leaf, info) in bound.module.tensors.sorted(by: { $0.key < $1.key }) {
          let name = leaf.hasSuffix("bias") ? bound.bias : bound.weight
          try replace(name ?? "\(bound.module.path).bias", by: info)
        }
        continue
      }
      guard let weight = byName[bound.weight],
        let linear = model.linears.first(where: { $0.weight === weight })
      else { throw AdapterTrainingError.missingModule(bound.module.path) }
      guard let method = try loader.method(of: bound) as? any TrainableMethod else {
        throw AdapterTrainingError.method(
          title: bound.module.method.descriptor.title, module: bound.module.path)
      }
      for (leaf, info) in bound.module.tensors {
        fileNames["\(linear.path).\(leaf)", default: []].append(info.name)
      }
      do {
        var layer = try method.trainingLayer(Float.self)
        if restarts {
          guard let restarted = RestartedLayer(layer) else {
            throw AdapterTrainingError.restart(module: bound.module.path)
          }
          layer = restarted
        }
        layers.append(
          (
            linear, layer,
            try bound.module.tensors.mapValues { try loader.tensor($0) }
          ))
      } catch let error as MethodError {
        throw AdapterTrainingError.module(bound.module.path, error)
      }
    }
    let unmerged = try UnmergedParts(of: binding, loader: loader, on: model) { path in
      byName[path + ".weight"].flatMap { weight in
        model.linears.first { $0.weight === weight }
      }
    }
    for bound in binding.replacements {
      try replace(bound.name, by: bound.replacement.tensor)
    }
    try self.init(
      model, adapters: layers + unmerged.layers, additions: unmerged.additions,
      tensors: replaced.map(\.tensor))
    self.fileNames = fileNames.merging(unmerged.fileNames) { $1 }
    for (tensor, values) in replaced { tensor.set(values.reals) }
    parametersChanged()
  }
}
