/// KaSA: `W' = (W0 without its r smallest singular components) + s·B·diag(d)·A`.
///
/// Source: Wang et al. 2024 (2412.06071); files as PEFT, which cuts the base again whenever it loads the
/// adapter. The decomposition is taken in f64.
public struct KaSA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "KaSA", names: ["kasa"], peftTypes: ["LORA"], source: "Wang et al. 2024 (2412.06071)",
    roundedTwiceInPEFT: true,
    leaves: ["lora_A.weight", "lora_B.weight", "lora_diag", "lora_B.bias"],
    ignoredLeaves: LoRA.descriptor.ignoredLeaves,
    settings: LoRAFactors.settings + ["kasa_config"], patterns: LoRAFactors.patterns,
    trainingSettings: LoRAFactors.trainingSettings)

  private let factors: LowRankFactors
  private let plain: LoRA

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    shapes["lora_diag"] != nil || settings["kasa_config"] != nil
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    var summary = try LoRA.examine(shapes, settings: settings, layer: layer)
    try shapes.expect("lora_diag", [summary.rank ?? 0])
    summary.trainableParameters = shapes.elements(of: descriptor.leaves)
    if let layer {
      let smaller = min(layer.outFeatures, layer.inFeatures)
      guard layer.kind == .linear, !layer.storedTransposed else {
        throw .layer(reason: "KaSA needs a linear layer stored out × in")
      }
      guard summary.rank ?? 0 < smaller else {
        throw .setting(
          name: "r", reason: "must be below \(smaller), or nothing is left of the base")
      }
    }
    return summary
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    plain = try LoRA(module)
    let matrix = try LoRAFactors(module).matrix
    let diagonal = try module.tensor("lora_diag").reals
    factors = LowRankFactors(
      rank: matrix.rank, rows: matrix.rows, columns: matrix.columns,
      b: matrix.b.enumerated().map { $1 * diagonal[$0 % matrix.rank] }, a: matrix.a,
      scale: matrix.scale)
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let smaller = min(factors.rows, factors.columns)
    let places = smaller - factors.rank..<smaller
    return LowRankReplacement(factors: factors) { base in
      let part = try SingularPart(of: base, places: places)
      return (part.b, part.a)
    }
  }

  public func biasUpdate() -> (any BiasUpdate)? { plain.biasUpdate() }
}
