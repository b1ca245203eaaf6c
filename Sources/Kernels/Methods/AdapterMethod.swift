/// A PEFT method: what its files hold, and what it does to a layer.
///
/// One method, one file: hyper-parameters, parameters with shapes, initialisation, W0 → W', forward,
/// backward, count, each with the source of its formula. To add a method, write such a file and add
/// one line to `MethodRegistry`.
///
/// A method is written for weights in the papers' orientation, `out × in`. Where the base stores
/// `in × out`, the caller transposes: `WeightUpdate.transposed()`.
public protocol AdapterMethod: Sendable {
  static var descriptor: MethodDescriptor { get }

  /// Whether a module with these tensors, of an adapter whose `peft_type` this method lists, is this
  /// method's. Several methods share `LORA`; the registry asks them in its order, and only where
  /// there is a choice.
  static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool

  /// What a module of this method holds, from shapes alone: called by `inspect` and by the plan of a
  /// merge, before any tensor is read.
  ///
  /// - Parameters:
  ///   - shapes: the module's tensors, leaf → shape.
  ///   - layer: the layer it sits on; nil when there is no base at hand. Shapes are checked against it.
  static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary

  /// Reads the module's parameters.
  init(_ module: AdapterModule) throws(MethodError)

  /// W0 → W'; nil when the method leaves the weight alone.
  func weightUpdate() throws(MethodError) -> (any WeightUpdate)?

  /// bias → bias'; nil when the method leaves the bias alone.
  func biasUpdate() throws(MethodError) -> (any BiasUpdate)?
}

extension AdapterMethod {
  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool { true }
  public func biasUpdate() throws(MethodError) -> (any BiasUpdate)? { nil }
}

/// One adapted module with its tensors in memory.
public struct AdapterModule: Sendable {
  public var layer: LayerGeometry
  public var settings: MethodSettings
  /// The module's own tensors by leaf: `lora_A.weight`, `vera_lambda_b`.
  public var tensors: [String: AdapterTensor]
  /// What the modules of the adapter share.
  public var context: AdapterContext

  public init(
    layer: LayerGeometry, settings: MethodSettings, tensors: [String: AdapterTensor],
    context: AdapterContext = AdapterContext()
  ) {
    self.layer = layer
    self.settings = settings
    self.tensors = tensors
    self.context = context
  }

  /// The tensor `leaf`.
  public func tensor(_ leaf: String) throws(MethodError) -> AdapterTensor {
    guard let tensor = tensors[leaf] else { throw .missingTensor(leaf: leaf) }
    return tensor
  }
}

/// What the modules of one adapter share.
public struct AdapterContext: Sendable {
  /// Tensors without a module, by their name after `base_model.`: `vera_A`, `vblora_vector_bank`.
  public var shared: [String: AdapterTensor]
  /// Every adapted layer, in the order in which the model registers its modules.
  public var layers: [LayerGeometry]
  /// What the modules share and draw anew, because the file does not hold it.
  let drawn = DrawnTensors()

  public init(shared: [String: AdapterTensor] = [:], layers: [LayerGeometry] = []) {
    self.shared = shared
    self.layers = layers
  }
}

/// What a module holds, read from shapes and settings.
public struct ModuleSummary: Sendable, Equatable {
  public var rank: Int?
  /// The effective scale of the module's change; nil where the method has none.
  public var scale: Double?
  public var trainableParameters: Int
  public var changesWeight: Bool
  /// The bias is changed, and created where the base has none.
  public var changesBias: Bool
  /// Why this module cannot be merged although its method can; nil when it can.
  public var notMergeable: String?

  public init(
    rank: Int? = nil, scale: Double? = nil, trainableParameters: Int, changesWeight: Bool = true,
    changesBias: Bool = false, notMergeable: String? = nil
  ) {
    self.rank = rank
    self.scale = scale
    self.trainableParameters = trainableParameters
    self.changesWeight = changesWeight
    self.changesBias = changesBias
    self.notMergeable = notMergeable
  }
}
