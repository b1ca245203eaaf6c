import Kernels

/// How many numbers a method trains and stores, from its hyper-parameters alone.
///
/// The names are those of the command line; hyper-parameters are named as in `adapter_config.json`,
/// with PEFT's defaults (peft 0.21.2).
protocol MethodCount: Sendable {
  /// The names of the method and its variants.
  static var names: [String] { get }
  /// The hyper-parameter that `--rank` sets; nil when the method has no such.
  static var rank: String? { get }
  /// Hyper-parameters where none are given.
  static var defaults: [String: Setting] { get }
  /// Hyper-parameters that make up the variant `name`.
  static func settings(named name: String) -> [String: Setting]
  /// Where the targets come from when none are given.
  static var table: DefaultTargets.Table { get }
  /// Kinds of layers that the method can be put on by name; empty for methods without modules.
  static var kinds: Set<LayerGeometry.Kind> { get }
  /// The method also trains all normalisations.
  static var trainsNorms: Bool { get }

  /// Numbers of the module on `layer`.
  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount
  /// Numbers that belong to no module, or to several.
  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount
  /// What the module on `layer` keeps from the forward pass for the backward pass.
  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations
}

/// What a method adds to a model.
struct ParameterCount: Sendable, Equatable {
  var trained = 0
  /// Stored with the adapter and not trained: projections, indices, norms. Elements count as one
  /// number whatever their type.
  var frozen = 0

  static func + (a: Self, b: Self) -> Self {
    ParameterCount(trained: a.trained + b.trained, frozen: a.frozen + b.frozen)
  }
}

/// What a module keeps of a forward pass, per token.
struct KeptActivations: Sendable, Equatable {
  /// The input of the layer.
  var input = true
  /// Numbers of its own.
  var numbers = 0
}

/// The modules of an adapter on their base.
struct AdaptedModules: Sendable {
  var layers: [LayerGeometry]
  var base: ModelShapes

  var largestInput: Int { layers.map(\.inFeatures).max() ?? 0 }
  var largestOutput: Int { layers.map(\.outFeatures).max() ?? 0 }

  /// What `config.json` says of the architecture.
  func facts() throws(MethodError) -> ArchitectureFacts {
    guard let facts = base.facts else {
      throw .layer(reason: "the method follows the architecture, which config.json must state")
    }
    return facts
  }
}

extension MethodCount {
  static var rank: String? { "r" }
  static var defaults: [String: Setting] { ["r": .integer(8)] }
  static func settings(named name: String) -> [String: Setting] { [:] }
  static var table: DefaultTargets.Table { .lora }
  static var kinds: Set<LayerGeometry.Kind> { [.linear] }
  static var trainsNorms: Bool { false }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount { ParameterCount() }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations { KeptActivations() }
}

/// The count of a method whose file says itself which tensors a module has.
protocol TrainableMethodCount: MethodCount {
  associatedtype Method: TrainableMethod
}

extension TrainableMethodCount {
  static var names: [String] { Method.descriptor.names }

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    var count = ParameterCount()
    for tensor in try Method.tensors(layer: layer, settings: settings) {
      if tensor.isTrained { count.trained += tensor.count } else { count.frozen += tensor.count }
    }
    return count
  }
}

extension MethodSettings {
  /// Numbers that hyper-parameters such as ranks can have.
  static let sizes = 1...(1 << 20)

  /// A size, which must be set.
  func size(
    _ name: String, in range: ClosedRange<Int> = sizes
  ) throws(MethodError) -> Int {
    guard let value = try integer(name) else {
      throw .setting(name: name, reason: "must be set")
    }
    guard range.contains(value) else {
      throw .setting(name: name, reason: "must be \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func fraction(_ name: String, default fallback: Double) throws(MethodError) -> Double {
    let value = try real(name) ?? fallback
    guard value >= 0, value <= 1 else { throw .setting(name: name, reason: "must be 0 to 1") }
    return value
  }
}

extension LayerGeometry {
  /// Fails unless `divisor` divides `dimension`.
  func require(
    _ dimension: Int, divisibleBy divisor: Int, setting: String
  ) throws(MethodError) {
    guard dimension % divisor == 0 else {
      throw .setting(name: setting, reason: "\(divisor) does not divide \(dimension)")
    }
  }
}
