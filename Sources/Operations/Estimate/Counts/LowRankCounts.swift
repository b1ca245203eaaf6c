import Kernels

/// AdaLoRA: LoRA's factors at the first rank, and a factor for each of them.
enum AdaLoRACount: MethodCount {
  static let names = ["adalora"]
  static let rank: String? = "init_r"
  static let defaults: [String: Setting] = ["init_r": .integer(12)]
  static let table = DefaultTargets.Table.adalora

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("init_r")
    return ParameterCount(trained: rank * (layer.inFeatures + layer.outFeatures + 1))
  }
}

/// LoHa: two pairs of factors.
enum LoHaCount: MethodCount {
  static let names = ["loha"]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(
      trained: 2 * (try settings.size("r")) * (layer.inFeatures + layer.outFeatures))
  }
}

/// LoKr: the Kronecker product of a small matrix and of another, one or both of low rank.
enum LoKrCount: MethodCount {
  static let names = ["lokr"]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r")
    let factor = try settings.integer("decompose_factor") ?? -1
    let out = factors(of: layer.outFeatures, bound: factor)
    let input = factors(of: layer.inFeatures, bound: factor)
    let splitsFirst =
      try settings.bool("decompose_both") ?? false && 2 * rank < max(out.small, input.small)
    let splitsSecond = 2 * rank < max(out.large, input.large)
    return ParameterCount(
      trained: (splitsFirst ? rank * (out.small + input.small) : out.small * input.small)
        + (splitsSecond ? rank * (out.large + input.large) : out.large * input.large))
  }

  /// `dimension` as a product of two, as near to each other as divisors allow, the smaller one at most
  /// `bound` (−1: unbounded); a bound that divides is taken as it is.
  static func factors(of dimension: Int, bound: Int) -> (small: Int, large: Int) {
    if bound > 0, dimension % bound == 0 {
      return (min(bound, dimension / bound), max(bound, dimension / bound))
    }
    var small = 1
    var candidate = 1
    while candidate * candidate <= dimension {
      if dimension % candidate == 0, bound < 0 || candidate <= bound { small = candidate }
      candidate += 1
    }
    return (small, dimension / small)
  }
}

/// HiRA: LoRA's factors.
enum HiRACount: MethodCount {
  static let names = ["hira"]
  static let defaults: [String: Setting] = ["r": .integer(32)]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(trained: try settings.size("r") * (layer.inFeatures + layer.outFeatures))
  }
}

/// DeLoRA: LoRA's factors and one strength; norms of the weight's columns are stored.
enum DeLoRACount: MethodCount {
  static let names = ["delora"]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r")
    return ParameterCount(
      trained: rank * (layer.inFeatures + layer.outFeatures) + 1, frozen: layer.inFeatures)
  }
}

/// DEFT: LoRA's factors; with `para` only the left one.
enum DEFTCount: MethodCount {
  static let names = ["deft"]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let isProjection = try settings.bool("para") ?? false
    let width = layer.outFeatures + (isProjection ? 0 : layer.inFeatures)
    return ParameterCount(trained: try settings.size("r") * width)
  }
}

/// GraLoRA: `gralora_k` slices with factors of their own, together as large as LoRA's.
enum GraLoRACount: MethodCount {
  static let names = ["gralora"]
  static let defaults: [String: Setting] = ["r": .integer(32), "gralora_k": .integer(2)]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r")
    let slices = try settings.size("gralora_k")
    let hybrid = try settings.integer("hybrid_r") ?? 0
    guard hybrid >= 0, hybrid <= MethodSettings.sizes.upperBound else {
      throw .setting(name: "hybrid_r", reason: "must be 0 or more")
    }
    for dimension in [layer.inFeatures, layer.outFeatures, rank] {
      try layer.require(dimension, divisibleBy: slices, setting: "gralora_k")
    }
    return ParameterCount(trained: (rank + hybrid) * (layer.inFeatures + layer.outFeatures))
  }
}

/// GLoRA: five paths, each a product of low rank, a vector, a constant, or none.
enum GLoRACount: MethodCount {
  static let names = ["glora"]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let (input, out) = (layer.inFeatures, layer.outFeatures)
    var count = 2 * (try path("config_A_B", "lora", rows: out, columns: input, out, settings))
    // The paths to the bias are made only where there is one.
    if layer.hasBias {
      count += try path("config_C", "lora", rows: input, columns: 1, input, settings)
      count += 2 * (try path("config_D_E", "constant", rows: out, columns: 1, out, settings))
    }
    return ParameterCount(trained: count)
  }

  private static func path(
    _ setting: String, _ fallback: String, rows: Int, columns: Int, _ vector: Int,
    _ settings: MethodSettings
  ) throws(MethodError) -> Int {
    switch try settings.text(setting) ?? fallback {
    case "lora": return try settings.size("r") * (rows + columns)
    case "vector": return vector
    case "constant": return 1
    case "none": return 0
    default:
      throw .setting(name: setting, reason: "must be lora, vector, constant or none")
    }
  }
}

/// MiSS: one block shared along the inputs, `r·out`; `mini` repeats it along the outputs too.
enum MiSSCount: MethodCount {
  static let names = ["miss", "bone"]
  static let defaults: [String: Setting] = ["r": .integer(64)]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r")
    guard settings["init_weights"] == .text("mini") else {
      return ParameterCount(trained: rank * layer.outFeatures)
    }
    let width = try settings.integer("mini_r") == nil ? 1 : settings.size("mini_r")
    try layer.require(layer.outFeatures, divisibleBy: width, setting: "mini_r")
    return ParameterCount(trained: rank * width)
  }
}

/// PEANuT: two projections of the weight to r and back, and `depth` square layers on either side.
enum PEANuTCount: MethodCount {
  static let names = ["peanut"]
  static let defaults: [String: Setting] = ["r": .integer(32)]

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let rank = try settings.size("r", in: 1...65536)
    let depth = try settings.integer("depth") ?? 0
    guard depth >= 0, depth <= 1024 else {
      throw .setting(name: "depth", reason: "must be 0 to 1024")
    }
    return ParameterCount(trained: 2 * rank * layer.outFeatures + 2 * depth * rank * rank)
  }
}

/// OSF: the singular triplets of the weight below the `effective_rank` first ones.
enum OSFCount: MethodCount {
  static let names = ["osf"]
  static let rank: String? = "effective_rank"
  static let defaults: [String: Setting] = [:]
  static let table = DefaultTargets.Table.osf

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let smaller = min(layer.inFeatures, layer.outFeatures)
    let kept: Int
    switch settings["effective_rank"] {
    case nil: kept = smaller / 2
    case .real(let share)? where share > 0 && share < 1: kept = Int(share * Double(smaller))
    default: kept = min(try settings.size("effective_rank"), smaller)
    }
    return ParameterCount(
      trained: (smaller - kept) * (layer.inFeatures + layer.outFeatures + 1))
  }
}

/// AdaMSS: in each of some subspaces of the rows a product of low rank, over a frozen projection.
enum AdaMSSCount: MethodCount {
  static let names = ["adamss"]
  static let defaults: [String: Setting] = [
    "r": .integer(100), "num_subspaces": .integer(5), "subspace_rank": .integer(1),
  ]

  /// With rows in every subspace at least as many as its rank.
  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let columns = layer.inFeatures + (layer.hasBias ? 1 : 0)
    let rank = min(try settings.size("r"), layer.outFeatures, columns)
    let subspaces = try settings.size("num_subspaces", in: 1...65536)
    let inner = try settings.size("subspace_rank", in: 1...65536)
    return ParameterCount(
      trained: subspaces * inner * rank + inner * layer.outFeatures, frozen: rank * columns)
  }
}
