import Adapters
import Kernels
import Safetensors

/// One thing that happens to a tensor, planned from headers.
enum TensorChange: Sendable {
  /// A module's change of its weight.
  case weight(BoundModule, adapter: Int, weight: Double)
  /// A module's change of its bias. `layerWeight` reads the layer's untouched weight.
  case bias(BoundModule, adapter: Int, weight: Double, layerWeight: FloatRows)
  /// The tensor's rows `ids` become rows of the adapter's tensor.
  case tokenRows(BoundTokenRows, adapter: Int, weight: Double)
  /// The tensor becomes the adapter's, whose rows are of type `element`.
  case replacement(any StoredRows, element: ElementType, weight: Double)

  /// The tensor is a bare parameter: a matrix, or a stack of matrices such as a layer's experts.
  var isOnStack: Bool {
    if case .weight(let module, _, _) = self { module.layer.kind == .parameter } else { false }
  }

  /// Nothing of W0 is left in W'.
  var replacesWhole: Bool {
    if case .replacement(_, _, weight: 1) = self { true } else { false }
  }

  /// The change with what it needs of its adapter in memory.
  func loaded(
    _ loaders: [AdapterLoader], shape: MergedTensor.Shape
  ) throws -> MergeStep {
    switch self {
    case .weight(let module, let adapter, let weight):
      let method = try loaders[adapter].method(of: module)
      guard let update = try method.weightUpdate() else { return .none }
      // The change of a stack of experts is made as they are stored.
      let turns = module.layer.storedTransposed && module.layer.kind != .parameter
      let oriented = turns ? update.onStoredTransposed() : update
      return .update(oriented, weight: weight * Double(module.repeats))
    case .bias(let module, let adapter, let weight, let layerWeight):
      let method = try loaders[adapter].method(of: module)
      guard let update = try method.biasUpdate() else { return .none }
      return .bias(update, weight: weight, layerWeight: layerWeight)
    case .tokenRows(let bound, let adapter, let weight):
      let values = try loaders[adapter].tensor(bound.rows.tensor).reals
      return .rows(ids: bound.rows.ids, values: values, weight: weight)
    case .replacement(let rows, let element, let weight):
      return .replacement(
        FloatRows(stored: rows, shape: shape, element: element), weight: weight)
    }
  }
}

/// A change that is ready to be carried out.
enum MergeStep: Sendable {
  case none
  case update(any WeightUpdate, weight: Double)
  case bias(any BiasUpdate, weight: Double, layerWeight: FloatRows)
  case rows(ids: [Int], values: [Float], weight: Double)
  case replacement(FloatRows, weight: Double)

  func prepared(reading base: any RowSource) throws -> MergeStep {
    guard case .update(let update, let weight) = self else { return self }
    return .update(try update.prepared(reading: base), weight: weight)
  }
}

extension WeightUpdate {
  /// The update on a weight that is stored `in × out`.
  func onStoredTransposed() -> any WeightUpdate {
    transposed() ?? TransposedUpdate(self)
  }
}
