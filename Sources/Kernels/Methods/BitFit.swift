/// BitFit: `bias' = bias + β`; the weight stays as it is.
public struct BitFit: TrainableMethod {
  static let leafNames = ["bitfit_bias", "difffit.bf"]

  public static let descriptor = MethodDescriptor(
    title: "BitFit", names: ["bitfit"], peftTypes: ["BITFIT"],
    source: "Ben Zaken et al. 2021 (2106.10199)",
    leaves: leafNames, settings: [],
    remark: "Where the base has no bias, the merged model gets one.")

  private let layer: LayerGeometry
  private let leaf: String
  private let bias: [Float]

  private static func leaf(_ shapes: [String: [Int]]) throws(MethodError) -> String {
    guard let leaf = leafNames.first(where: { shapes[$0] != nil }) else {
      throw .missingTensor(leaf: leafNames[0])
    }
    return leaf
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let leaf = try leaf(shapes)
    let found = try shapes.required(leaf).reduce(1, *)
    try shapes.expectVector(leaf, count: layer?.outFeatures ?? found)
    return ModuleSummary(trainableParameters: found, changesWeight: false, changesBias: true)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let shapes = module.shapes
    _ = try Self.examine(shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    leaf = try Self.leaf(shapes)
    bias = try module.tensor(leaf).reals
  }

  public func weightUpdate() -> (any WeightUpdate)? { nil }

  public func biasUpdate() -> (any BiasUpdate)? { BiasChange(addend: bias) }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    [MethodTensor("bitfit_bias", [layer.outFeatures])]
  }

  /// β = 0.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    try startingTensors(start) { _ in 0 }
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    RowwiseLayer<Scalar>(
      inFeatures: layer.inFeatures, outFeatures: layer.outFeatures, compression: nil, bias: leaf,
      scale: nil)
  }
}
