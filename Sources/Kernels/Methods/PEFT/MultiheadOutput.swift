/// LoRA on the output projection of a `MultiheadAttention`: `W' = W0 + 2·s·B·A`. PEFT adds the change
/// twice, in training as in merging, and so an adapter means it twice.
///
/// The reader of the adapter marks such a module by the setting `multihead_out_proj`; without it the
/// module is plain LoRA. The input projections are plain LoRA on `in_proj_weight`.
///
/// Source: PEFT, LoRA on `nn.MultiheadAttention`.
public struct MultiheadOutput: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "LoRA on attention's output", names: [], peftTypes: ["LORA"],
    source: "PEFT, LoRA on nn.MultiheadAttention", roundedTwiceInPEFT: true,
    leaves: ["lora_A.weight", "lora_B.weight"],
    ignoredLeaves: LoRA.descriptor.ignoredLeaves,
    settings: LoRAFactors.settings + ["multihead_out_proj"], patterns: LoRAFactors.patterns,
    trainingSettings: LoRAFactors.trainingSettings,
    remark: "The change counts twice, as in PEFT.")

  private let factors: LowRankFactors

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    settings["multihead_out_proj"] == .bool(true)
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    var summary = try LoRA.examine(shapes, settings: settings, layer: layer)
    summary.scale = summary.scale.map { 2 * $0 }
    return summary
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    if let reason = summary.notMergeable { throw .notMergeable(reason: reason) }
    factors = try LoRAFactors(module).matrix.scaled(by: 2)
  }

  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }
}
