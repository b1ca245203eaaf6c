import Kernels

/// Full fine-tuning: weights and biases of the layers that are targeted; without targets, every
/// parameter of the model.
enum FullCount: TrainableMethodCount {
  typealias Method = FullTuning
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.everything
  static let kinds: Set<LayerGeometry.Kind> = [
    .linear, .embedding, .convolution, .normalization, .parameter,
  ]

  /// The biases, which the method trains beside the difference of the weight.
  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) -> ParameterCount {
    ParameterCount(trained: modules.layers.reduce(0) { $0 + $1.biasCount })
  }

  /// Linear layers need their input; normalisations keep it in any case.
  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations { KeptActivations(input: layer.kind == .linear) }
}

/// All normalisations, as whole tensors: weight, and bias in LayerNorm.
enum NormCount: TrainableMethodCount {
  typealias Method = NormTuning
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.none
  static let kinds: Set<LayerGeometry.Kind> = [.normalization]

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations { KeptActivations(input: false) }
}

/// PEFT's LN tuning: the normalisations that its table names.
enum LNTuningCount: TrainableMethodCount {
  typealias Method = NormTuning
  static let names = ["ln_tuning"]
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.norms
  static let kinds: Set<LayerGeometry.Kind> = [.normalization]

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations { KeptActivations(input: false) }
}

/// BEFT: a bias, `out`.
enum BEFTCount: MethodCount {
  static let names = ["beft"]
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.beft

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> ParameterCount { ParameterCount(trained: layer.outFeatures) }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations { KeptActivations(input: false) }
}

/// Rows of the input embedding: tokens times dim.
enum TrainableTokensCount: MethodCount {
  static let names = ["trainable_tokens"]
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.none
  static let kinds: Set<LayerGeometry.Kind> = [.embedding]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    guard case .list(let tokens)? = settings["token_indices"], !tokens.isEmpty else {
      throw .setting(name: "token_indices", reason: "must be set")
    }
    return ParameterCount(trained: tokens.count * layer.inFeatures)
  }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations { KeptActivations(input: false) }
}

/// Bottleneck adapters: a down and an up projection with biases. In series they sit on the output of a
/// layer, `2·m·out + m + out`; in parallel beside it, `m(in + out) + m + out`.
enum BottleneckCount: TrainableMethodCount {
  typealias Method = Bottleneck
  static let rank: String? = "bottleneck_size"
  static let defaults: [String: Setting] = ["bottleneck_size": .integer(256)]
  static let table = DefaultTargets.Table.none

  static func settings(named name: String) -> [String: Setting] {
    ["use_parallel_adapter": .bool(name == "parallel")]
  }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    let size = try settings.size("bottleneck_size")
    let isParallel = try settings.bool("use_parallel_adapter") ?? false
    return KeptActivations(
      input: isParallel, numbers: size + (isParallel ? 0 : layer.outFeatures))
  }
}
