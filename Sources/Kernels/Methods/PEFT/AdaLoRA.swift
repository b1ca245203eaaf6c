/// AdaLoRA: `W' = W0 + s·B·diag(E)·A`, `s = α/(r₀ + 10⁻⁵)`, r₀ the initial rank.
///
/// Source: Zhang et al. 2023 (2303.10512), equation 3; the factor as PEFT. Training leaves every
/// module its own rank, 0 included; the factor keeps the initial one.
public struct AdaLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "AdaLoRA", names: ["adalora"], peftTypes: ["ADALORA"],
    source: "Zhang et al. 2023 (2303.10512), equation 3",
    leaves: ["lora_A", "lora_E", "lora_B"], ignoredLeaves: ["ranknum"],
    settings: ["init_r", "lora_alpha", "fan_in_fan_out"],
    trainingSettings: [
      "target_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step",
      "rank_pattern", "r", "lora_dropout", "init_lora_weights", "alpha_pattern", "use_rslora",
      "use_dora", "lora_bias", "alora_invocation_tokens", "arrow_config", "corda_config",
      "eva_config", "kasa_config", "loftq_config", "lora_ga_config", "megatron_config",
      "megatron_core", "monteclora_config", "qalora_group_size", "use_bdlora", "use_qalora",
      "velora_config",
    ])

  /// nil where the rank has gone to 0.
  private let factors: LowRankFactors?

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let a = try shapes.required("lora_A", dimensions: 2)
    let b = try shapes.required("lora_B", dimensions: 2)
    try shapes.expect("lora_A", [a[0], layer?.inFeatures ?? a[1]])
    try shapes.expect("lora_B", [layer?.outFeatures ?? b[0], a[0]])
    try shapes.expect("lora_E", [a[0], 1])
    return ModuleSummary(
      rank: a[0], scale: try scale(settings),
      trainableParameters: shapes.elements(of: descriptor.leaves),
      changesWeight: a[0] > 0)
  }

  private static func scale(_ settings: MethodSettings) throws(MethodError) -> Double {
    let rank = try settings.positive("init_r", default: 12)
    let alpha = try settings.real("lora_alpha") ?? 8
    // PEFT keeps the rank as an f32.
    return (alpha > 0 ? alpha : Double(rank)) / Double(Float(rank) + 1e-5)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    guard let rank = summary.rank, rank > 0 else {
      factors = nil
      return
    }
    let columns = module.layer.inFeatures
    var a = try module.tensor("lora_A").reals
    for (row, value) in try module.tensor("lora_E").reals.enumerated() {
      for index in row * columns..<(row + 1) * columns { a[index] *= value }
    }
    factors = LowRankFactors(
      rank: rank, rows: module.layer.outFeatures, columns: columns,
      b: try module.tensor("lora_B").reals, a: a, scale: Float(try Self.scale(module.settings)))
  }

  public func weightUpdate() -> (any WeightUpdate)? { factors.map(LowRankUpdate.init) }
}
