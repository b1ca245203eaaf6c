import Kernels

/// pVeRA: VeRA with a mean and a deviation for each direction.
enum PVeRACount: MethodCount {
  static let names = ["pvera"]
  static let defaults: [String: Setting] = ["r": .integer(256)]
  static let table = DefaultTargets.Table.vera

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(trained: layer.outFeatures + 2 * (try settings.size("r")))
  }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(
      frozen: try settings.size("r") * (2 * modules.largestInput + modules.largestOutput))
  }
}

/// RandLoRA: factors for frozen random bases that together have full rank.
enum RandLoRACount: MethodCount {
  static let names = ["randlora"]
  static let defaults: [String: Setting] = ["r": .integer(32)]

  private static func bases(_ layer: LayerGeometry, rank: Int) -> (count: Int, width: Int) {
    let width = min(layer.inFeatures, layer.outFeatures)
    return ((width + rank - 1) / rank, width)
  }

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r")
    let bases = bases(layer, rank: rank)
    return ParameterCount(trained: bases.count * (rank + bases.width))
  }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r")
    let all = modules.layers.map { bases($0, rank: rank) }
    let longest = modules.layers.map { max($0.inFeatures, $0.outFeatures) }.max() ?? 0
    let width = all.map { $0.width }.max() ?? 0
    return ParameterCount(
      frozen: rank * width + longest * (all.map { $0.count }.max() ?? 0) * rank)
  }
}

/// VB-LoRA: LoRA's factors out of pieces, each a mixture of the vectors of one bank.
enum VBLoRACount: MethodCount {
  static let names = ["vblora"]
  static let defaults: [String: Setting] = [
    "r": .integer(4), "num_vectors": .integer(256), "vector_length": .integer(256),
  ]
  static let table = DefaultTargets.Table.vblora

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let length = try settings.size("vector_length")
    try layer.require(layer.inFeatures, divisibleBy: length, setting: "vector_length")
    try layer.require(layer.outFeatures, divisibleBy: length, setting: "vector_length")
    let pieces = layer.inFeatures / length + layer.outFeatures / length
    return ParameterCount(
      trained: try settings.size("r", in: 1...65536) * pieces
        * settings.size("num_vectors", in: 1...65536))
  }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(
      trained: try settings.size("num_vectors", in: 1...65536) * settings.size("vector_length"))
  }
}

/// Uni-LoRA: LoRA's factors out of one vector, whose elements they take in a random order.
enum UniLoRACount: MethodCount {
  static let names = ["unilora"]
  static let defaults: [String: Setting] = ["r": .integer(4), "theta_d_length": .integer(256)]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    // An index and a scale for each element of the factors.
    ParameterCount(
      frozen: 2 * (try settings.size("r")) * (layer.inFeatures + layer.outFeatures))
  }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(trained: try settings.size("theta_d_length", in: 1...(1 << 30)))
  }
}

/// TinyLoRA: a vector of u for each group of modules, over frozen projections.
enum TinyLoRACount: MethodCount {
  static let names = ["tinylora"]
  static let defaults: [String: Setting] = ["r": .integer(2), "u": .integer(64)]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r", in: 1...4096)
    return ParameterCount(
      frozen: rank * (layer.inFeatures + layer.outFeatures)
        + (try settings.size("u")) * rank * rank)
  }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let tying = try settings.fraction("weight_tying", default: 0)
    let groups = (Double(modules.layers.count) * (1 - tying)).rounded(.toNearestOrEven)
    return ParameterCount(trained: max(1, Int(groups)) * (try settings.size("u")))
  }
}

/// FRoD: a diagonal and some other elements, between bases that modules of one name share.
enum FRoDCount: MethodCount {
  static let names = ["frod"]
  static let rank: String? = nil
  static let defaults: [String: Setting] = ["sparse_rate": .real(0.01)]
  static let table = DefaultTargets.Table.vera

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let input = layer.inFeatures
    let rate = try settings.fraction("sparse_rate", default: 0.01)
    var sparse = min(Int(Double(input * input) * rate), input * (input - 1))
    if rate > 0, input > 1 { sparse = max(sparse, 1) }
    return ParameterCount(trained: input + sparse, frozen: input * layer.outFeatures)
  }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) -> ParameterCount {
    var bases: [Substring: Int] = [:]
    for layer in modules.layers {
      bases[layer.module.split(separator: ".").last ?? ""] = layer.inFeatures * layer.inFeatures
    }
    return ParameterCount(frozen: bases.values.reduce(0, +))
  }
}

/// Lily: one A for `stride_A` neighbours, `num_B` matrices B for all modules of a shape, and a router.
enum LilyCount: MethodCount {
  static let names = ["lily"]
  static let defaults: [String: Setting] = [
    "r": .integer(32), "stride_A": .integer(1), "num_B": .integer(2),
  ]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(trained: try settings.size("r") * settings.size("num_B"))
  }

  static func shared(
    _ modules: AdaptedModules, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    struct Shape: Hashable {
      var name: Substring
      var shape: [Int]
    }
    let rank = try settings.size("r")
    let stride = try settings.size("stride_A")
    let count = try settings.size("num_B")
    var groups: [Shape: [LayerGeometry]] = [:]
    for layer in modules.layers {
      let name = layer.module.split(separator: ".").last ?? ""
      groups[Shape(name: name, shape: layer.shape), default: []].append(layer)
    }
    var trained = 0
    for layers in groups.values {
      trained += (layers.count + stride - 1) / stride * rank * layers[0].inFeatures
      trained += count * rank * layers[0].outFeatures
    }
    return ParameterCount(trained: trained)
  }
}

/// Poly: several LoRA skills, in slices, and for each task how much of each.
enum PolyCount: MethodCount {
  static let names = ["poly"]
  static let defaults: [String: Setting] = [
    "r": .integer(8), "n_tasks": .integer(1), "n_skills": .integer(4), "n_splits": .integer(1),
  ]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let splits = try settings.size("n_splits", in: 1...4096)
    let skills = try settings.size("n_skills", in: 1...4096)
    let tasks = try settings.size("n_tasks", in: 1...65536)
    try layer.require(layer.inFeatures, divisibleBy: splits, setting: "n_splits")
    try layer.require(layer.outFeatures, divisibleBy: splits, setting: "n_splits")
    return ParameterCount(
      trained: skills * (try settings.size("r")) * (layer.inFeatures + layer.outFeatures)
        + tasks * splits * skills)
  }
}
