/// A method that this package can train.
///
/// A new adapter starts as tensors (`initialTensors`), exactly as an adapter read from a file; the
/// method is made from them, and its training layer from the method.
public protocol TrainableMethod: AdapterMethod {
  /// The tensors of a module on `layer`, from the hyper-parameters alone.
  static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor]

  /// The tensors of a new module, drawn from `generator` as PEFT draws them.
  static func initialTensors(_ start: ModuleStart, generator: inout TorchGenerator)
    throws -> [String: AdapterTensor]

  /// The tensors that all modules of a new adapter share, by their name after `base_model.`.
  static func initialShared(
    layers: [LayerGeometry], settings: MethodSettings
  ) throws(MethodError) -> [String: AdapterTensor]

  /// The method on its layer, in training. Methods that act elsewhere have none: norms, prompts.
  func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar>
}

extension TrainableMethod {
  public static func initialShared(
    layers: [LayerGeometry], settings: MethodSettings
  ) throws(MethodError) -> [String: AdapterTensor] { [:] }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    throw .layer(reason: "\(Self.descriptor.title) is not trained on a layer with a frozen weight")
  }

  /// The module's tensors, each filled with one number.
  static func startingTensors(
    _ start: ModuleStart, _ value: (MethodTensor) -> Float
  ) throws(MethodError) -> [String: AdapterTensor] {
    var result: [String: AdapterTensor] = [:]
    for tensor in try tensors(layer: start.layer, settings: start.settings) {
      result[tensor.leaf] = AdapterTensor(
        shape: tensor.shape, [Float](repeating: value(tensor), count: tensor.count))
    }
    return result
  }

  /// Trained scalars of a module on `layer`, from the hyper-parameters alone.
  public static func parameterCount(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> Int {
    try tensors(layer: layer, settings: settings).reduce(0) { $0 + ($1.isTrained ? $1.count : 0) }
  }
}

/// A tensor of a module: its name in the file, its shape, and whether it is trained.
public struct MethodTensor: Sendable, Equatable {
  public var leaf: String
  public var shape: [Int]
  public var isTrained: Bool

  public init(_ leaf: String, _ shape: [Int], isTrained: Bool = true) {
    self.leaf = leaf
    self.shape = shape
    self.isTrained = isTrained
  }

  public var count: Int { shape.reduce(1, *) }
}

/// Where a new module starts from.
public struct ModuleStart {
  public var layer: LayerGeometry
  public var settings: MethodSettings
  /// The layer's weight, for methods that start from it (`out × in`).
  public var weight: any RowSource
  /// The layer's bias, for methods that start from it.
  public var bias: [Float]?

  public init(
    layer: LayerGeometry, settings: MethodSettings, weight: any RowSource, bias: [Float]? = nil
  ) {
    self.layer = layer
    self.settings = settings
    self.weight = weight
    self.bias = bias
  }
}
