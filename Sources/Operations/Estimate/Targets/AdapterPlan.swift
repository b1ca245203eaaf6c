import Kernels

/// A method on a base: which layers it is put on, and its hyper-parameters there.
package struct AdapterPlan: Sendable {
  let choice: MethodChoice
  /// The adapted layers, in the order of the model.
  package let layers: [ModelLayer]
  /// Hyper-parameters by their names in `adapter_config.json`.
  package let settings: [String: Setting]

  /// The method and its additions, as on the command line.
  package var name: String { choice.name }
  /// Normalisations are trained as well.
  package var trainsNorms: Bool { choice.trainsNorms }
  /// The method where this package can train it.
  package var trainable: (any TrainableMethod.Type)? {
    let names = Set(choice.method.names)
    return MethodRegistry.all.lazy.compactMap { $0 as? any TrainableMethod.Type }
      .first { !names.isDisjoint(with: $0.descriptor.names) }
  }
}
