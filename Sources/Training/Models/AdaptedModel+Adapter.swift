import Adapters
import Kernels

/// Why an adapter cannot be trained on a model.
public enum AdapterTrainingError: Error, Equatable, Sendable {
  /// The method has no training.
  case method(title: String, module: String)
  /// The model has no linear layer or tensor that the adapter's part would go to.
  case missingModule(String)
  case module(String, MethodError)
  case shape(tensor: String, found: [Int], expected: [Int])
}

extension AdaptedModel {
  /// The model with an adapter that was read from a file, to be trained on.
  public convenience init(_ model: TransformerModel, adapter binding: AdapterBinding) throws {
    let loader = AdapterLoader(binding)
    var byName: [String: BaseTensor] = [:]
    for tensor in model.tensors {
      byName[tensor.name] = tensor
      if let stored = tensor.storedName { byName[stored] = tensor }
    }
    var replaced: [(tensor: BaseTensor, values: AdapterTensor)] = []
    func replace(_ name: String, by values: AdapterTensor) throws {
      guard let tensor = byName[name] else { throw AdapterTrainingError.missingModule(name) }
      guard tensor.shape == values.shape else {
        throw AdapterTrainingError.shape(
          tensor: name, found: values.shape, expected: tensor.shape)
      }
      // PEFT saves a bias twice that is trained by two settings.
      if !replaced.contains(where: { $0.tensor === tensor }) { replaced.append((tensor, values)) }
    }

    var layers: [(linear: Linear, layer: any AdapterLayer<Float>, start: [String: AdapterTensor])] =
      []
    for bound in binding.modules {
      if bound.module.method == NormTuning.self {
        for (leaf, info) in bound.module.tensors.sorted(by: { $0.key < $1.key }) {
          let name = leaf.hasSuffix("bias") ? bound.bias : bound.weight
          try replace(name ?? "\(bound.module.path).bias", by: try loader.tensor(info))
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
      do {
        layers.append(
          (
            linear, try method.trainingLayer(Float.self),
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
      try replace(bound.name, by: try loader.tensor(bound.replacement.tensor))
    }
    try self.init(
      model, adapters: layers + unmerged.layers, additions: unmerged.additions,
      tensors: replaced.map(\.tensor))
    for (tensor, values) in replaced { tensor.set(values.reals) }
    parametersChanged()
  }
}
