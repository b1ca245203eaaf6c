/// BEFT: bias' = bias + b, in selected layers.
///
/// Source: arXiv 2509.15974; files as PEFT.
public struct BEFT: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "BEFT", names: ["beft"], peftTypes: ["BEFT"], source: "arXiv 2509.15974",
    leaves: ["beft_bias"], settings: [], trainingSettings: ["init_weights"])

  private let bias: [Float]

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = try shapes.required("beft_bias").reduce(1, *)
    try shapes.expectVector("beft_bias", count: layer?.outFeatures ?? count)
    return ModuleSummary(trainableParameters: count, changesWeight: false, changesBias: true)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    bias = try module.tensor("beft_bias").reals
  }

  public func weightUpdate() -> (any WeightUpdate)? { nil }
  public func biasUpdate() -> (any BiasUpdate)? { BiasChange(addend: bias) }
}
