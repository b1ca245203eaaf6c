/// DiffFit: `W' = diag(γ)·W0`, `bias' = γ∘(bias + β)`; without γ (`scale: false`) the bias alone.
/// Norms are trained whole besides.
public struct DiffFit: TrainableMethod {
  /// Ours, and those of the LLaMA fork.
  private static let biasLeaves = ["difffit_bias", "difffit.bf"]
  private static let scaleLeaves = ["difffit_scale", "difffit.gamma"]

  public static let descriptor = MethodDescriptor(
    title: "DiffFit", names: ["difffit"], peftTypes: ["DIFFFIT"],
    source: "Xie et al. 2023 (2304.06648), with one γ per output feature",
    leaves: biasLeaves + scaleLeaves, settings: ["scale"],
    trainingSettings: ["eta_scale", "eta_layers", "eta_exclude"],
    remark: "Where the base has no bias, the merged model gets one.")

  private let layer: LayerGeometry
  private let biasLeaf: String
  private let scaleLeaf: String?
  private let change: BiasChange

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let leaf = biasLeaves.first { shapes[$0] != nil } ?? biasLeaves[0]
    let count = try shapes.required(leaf).reduce(1, *)
    try shapes.expectVector(leaf, count: layer?.outFeatures ?? count)
    let scale = scaleLeaves.first { shapes[$0] != nil }
    if let scale {
      try shapes.expectVector(scale, count: count)
    } else if try settings.bool("scale") ?? false {
      throw .missingTensor(leaf: scaleLeaves[0])
    }
    return ModuleSummary(
      trainableParameters: shapes.elements(of: descriptor.leaves), changesWeight: scale != nil,
      changesBias: true)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    biasLeaf = Self.biasLeaves.first { module.tensors[$0] != nil } ?? Self.biasLeaves[0]
    scaleLeaf = Self.scaleLeaves.first { module.tensors[$0] != nil }
    change = BiasChange(
      addend: try module.tensor(biasLeaf).reals,
      factor: scaleLeaf.flatMap { module.tensors[$0]?.reals })
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    change.factor.map { ScaledRowsUpdate(factors: $0, columns: layer.inFeatures) }
  }

  public func biasUpdate() -> (any BiasUpdate)? { change }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let bias = [MethodTensor("difffit_bias", [layer.outFeatures])]
    guard try settings.bool("scale") ?? true else { return bias }
    return bias + [MethodTensor("difffit_scale", [layer.outFeatures])]
  }

  /// β = 0, γ = 1.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    try startingTensors(start) { $0.leaf == "difffit_scale" ? 1 : 0 }
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    RowwiseLayer<Scalar>(
      inFeatures: layer.inFeatures, outFeatures: layer.outFeatures, compression: nil,
      bias: biasLeaf, scale: scaleLeaf)
  }
}
