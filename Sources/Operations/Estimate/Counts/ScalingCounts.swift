import Kernels

/// IA3: a factor for each output, or for each input of feed-forward modules.
enum IA3Count: MethodCount {
  static let names = ["ia3"]
  static let rank: String? = nil
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.ia3

  static func isFeedforward(_ layer: LayerGeometry, _ settings: MethodSettings) -> Bool {
    switch settings["feedforward_modules"] {
    case .list(let names)?:
      names.contains {
        if case .text(let name) = $0 { layer.module.hasSuffix(name) } else { false }
      }
    case .text(let pattern)?:
      (try? Regex(pattern)).map { layer.module.wholeMatch(of: $0) != nil } ?? false
    default: false
    }
  }

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> ParameterCount {
    ParameterCount(
      trained: isFeedforward(layer, settings) ? layer.inFeatures : layer.outFeatures)
  }

  /// What is multiplied by the factor.
  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations {
    isFeedforward(layer, settings)
      ? KeptActivations(input: true) : KeptActivations(input: false, numbers: layer.outFeatures)
  }
}

/// RoAd: angles and lengths of rotations in pairs of outputs.
enum RoAdCount: MethodCount {
  static let names = ["road"]
  static let rank: String? = nil
  static let defaults: [String: Setting] = ["variant": .text("road_1")]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    switch try settings.text("variant") {
    case "road_1"?: return ParameterCount(trained: layer.outFeatures / 2 * 2)
    case "road_2"?: return ParameterCount(trained: 2 * layer.outFeatures)
    case "road_4"?: return ParameterCount(trained: 4 * layer.outFeatures)
    default: throw .setting(name: "variant", reason: "must be road_1, road_2 or road_4")
    }
  }

  static func kept(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) -> KeptActivations { KeptActivations(input: false, numbers: layer.outFeatures) }
}

/// OFT: a skew matrix for each block of inputs.
enum OFTCount: MethodCount {
  static let names = ["oft"]
  static let defaults: [String: Setting] = [:]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let blocks = try settings.integer("r") ?? 0
    var size = try settings.integer("oft_block_size") ?? (blocks == 0 ? 32 : 0)
    guard (blocks == 0) != (size == 0), blocks >= 0, size >= 0 else {
      throw .setting(name: "oft_block_size", reason: "or r must be 0, and the other one not")
    }
    let input = layer.inFeatures
    size = blocks == 0 ? divisor(of: input, near: size) : input / divisor(of: input, near: blocks)
    let shares = try settings.bool("block_share") ?? false
    return ParameterCount(trained: (shares ? 1 : input / size) * (size * (size - 1) / 2))
  }

  /// The divisor of `dimension` that is next to `value`, the lower one of two.
  private static func divisor(of dimension: Int, near value: Int) -> Int {
    guard value < dimension else { return dimension }
    var (lower, higher) = (value, value)
    while dimension % lower != 0 { lower -= 1 }
    while dimension % higher != 0 { higher += 1 }
    return value - lower <= higher - value ? lower : higher
  }
}

/// BOFT: for each butterfly factor a matrix for each block of inputs; a factor for each output.
enum BOFTCount: MethodCount {
  static let names = ["boft"]
  static let rank: String? = "boft_block_num"
  static let defaults: [String: Setting] = [:]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let blocks = try settings.integer("boft_block_num") ?? 0
    let size = try settings.integer("boft_block_size") ?? (blocks == 0 ? 4 : 0)
    guard (blocks == 0) != (size == 0), blocks >= 0, size >= 0 else {
      throw .setting(
        name: "boft_block_size", reason: "or boft_block_num must be 0, and the other one not")
    }
    let input = layer.inFeatures
    try layer.require(
      input, divisibleBy: max(blocks, size),
      setting: blocks == 0 ? "boft_block_size" : "boft_block_num")
    let side = blocks == 0 ? size : input / blocks
    let factors =
      try settings.integer("boft_n_butterfly_factor") == nil
      ? 1 : settings.size("boft_n_butterfly_factor", in: 1...64)
    return ParameterCount(trained: factors * input * side + layer.outFeatures)
  }
}

/// HRA: r reflections of the input.
enum HRACount: MethodCount {
  static let names = ["hra"]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(trained: try settings.size("r") * layer.inFeatures)
  }
}

/// PSOFT: a rotation among the r first singular directions, and two vectors.
enum PSOFTCount: MethodCount {
  static let names = ["psoft"]
  static let defaults: [String: Setting] = ["r": .integer(32)]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r")
    guard rank <= min(layer.inFeatures, layer.outFeatures) else {
      throw .setting(name: "r", reason: "exceeds the smaller dimension of a layer")
    }
    var count = try settings.bool("psoft_orth") ?? true ? rank * (rank - 1) / 2 : rank * rank
    for vector in ["psoft_mag_a", "psoft_mag_b"] where try settings.bool(vector) ?? true {
      count += rank
    }
    return ParameterCount(
      trained: count, frozen: rank * (layer.inFeatures + layer.outFeatures))
  }
}
