import Kernels

/// LoRA and rsLoRA: `r(in + out)`.
enum LoRACount: TrainableMethodCount {
  typealias Method = LoRA
  static let kinds: Set<LayerGeometry.Kind> = [.linear, .embedding, .convolution]

  static func settings(named name: String) -> [String: Setting] {
    name == "rslora" ? ["use_rslora": .bool(true)] : [:]
  }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    KeptActivations(input: true, numbers: try settings.size("r"))
  }
}

/// LoRA with one factor frozen: `r·out` or `r·in`.
enum AsymmetricLoRACount: TrainableMethodCount {
  typealias Method = AsymmetricLoRA

  static func settings(named name: String) -> [String: Setting] {
    ["frozen_factor": .text(name.hasSuffix("-a") ? "A" : "B")]
  }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    let trainsA = try settings.text("frozen_factor") == "B"
    return KeptActivations(input: trainsA, numbers: try settings.size("r"))
  }
}

/// DoRA: `r(in + out) + out`.
enum DoRACount: TrainableMethodCount {
  typealias Method = DoRA
  static let kinds: Set<LayerGeometry.Kind> = [.linear, .embedding, .convolution]

  static func settings(named name: String) -> [String: Setting] { ["use_dora": .bool(true)] }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    KeptActivations(input: true, numbers: try settings.size("r") + layer.outFeatures)
  }
}

/// 1LoRA: `out`; with a learned compression `in + out`; with bias and scale `out` more each.
enum OneLoRACount: TrainableMethodCount {
  typealias Method = OneLoRA
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.none

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    let isLearned = try settings.text("compression") == "learned"
    let scales = try settings.bool("train_scale") ?? false
    return KeptActivations(input: isLearned, numbers: 2 + (scales ? layer.outFeatures : 0))
  }
}

/// VeRA: `out + r`, and `r(in + out)` of the largest layer, frozen.
enum VeRACount: TrainableMethodCount {
  typealias Method = VeRA
  static let defaults: [String: Setting] = ["r": .integer(256)]
  static let table = DefaultTargets.Table.vera

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(
      frozen: try settings.size("r") * (modules.largestInput + modules.largestOutput))
  }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    let hasMagnitude = try settings.bool("use_dora") ?? false
    return KeptActivations(
      input: false, numbers: try settings.size("r") + (hasMagnitude ? layer.outFeatures : 0))
  }
}

/// MoRA: `r'²`.
enum MoRACount: TrainableMethodCount {
  typealias Method = MoRA
  static let table = DefaultTargets.Table.none

  static func settings(named name: String) -> [String: Setting] {
    let type = name.dropFirst("mora".count)
    if let number = Int(type) { return ["mora_type": .integer(number)] }
    return type.isEmpty ? [:] : ["mora_type": .text(String(type.dropFirst()))]
  }

  /// The compressed input: r' numbers, with types 6 and decomposition r' for each block of inputs.
  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    let tensors = try Method.tensors(layer: layer, settings: settings)
    let rank = tensors.first?.shape.first ?? 1
    let isBlockwise =
      settings["mora_type"] == .integer(6) || settings["mora_type"] == .text("decomposition")
    let blocks = isBlockwise ? (layer.inFeatures + rank - 1) / rank : 1
    return KeptActivations(input: false, numbers: blocks * rank)
  }
}

/// SBoRA: `r·out` (FA) or `r·in` (FB).
enum SBoRACount: TrainableMethodCount {
  typealias Method = SBoRA
  static let table = DefaultTargets.Table.none

  static func settings(named name: String) -> [String: Setting] {
    ["variant": .text(name.hasSuffix("fb") ? "FB" : "FA")]
  }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    let trainsA = try settings.text("variant") == "FB"
    return KeptActivations(input: trainsA, numbers: try settings.size("r"))
  }
}

/// BitFit: `out`.
enum BitFitCount: TrainableMethodCount {
  typealias Method = BitFit
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.none

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations { KeptActivations(input: false) }
}

/// DiffFit: `2·out`, and the normalisations.
enum DiffFitCount: TrainableMethodCount {
  typealias Method = DiffFit
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.none
  static let trainsNorms = true

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> KeptActivations {
    let scales = try settings.bool("scale") ?? true
    return KeptActivations(input: false, numbers: scales ? layer.outFeatures : 0)
  }
}
