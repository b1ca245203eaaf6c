/// PVeRA: VeRA whose inner vector is a distribution. Merged is its mean: the first half of d and of A,
/// `W' = W0 + diag(b)·B·diag(d[:r])·A[:r]`.
///
/// Source: arXiv 2512.07703; files and the drawn projections as PEFT.
public struct PVeRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "PVeRA", names: ["pvera"], peftTypes: ["PVERA"],
    source: "arXiv 2512.07703", leaves: ["pvera_lambda_b", "pvera_lambda_d"],
    sharedTensors: ["pvera_A", "pvera_B"],
    settings: ["projection_prng_key", "save_projection", "fan_in_fan_out", "sample_at_inference"],
    trainingSettings: ["r", "pvera_dropout", "d_initial", "init_weights", "generator_seed"])

  private let factors: LowRankFactors

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = try shapes.required("pvera_lambda_d", dimensions: 1)[0]
    let outputs = try shapes.required("pvera_lambda_b", dimensions: 1)[0]
    guard count > 0, count.isMultiple(of: 2) else {
      throw .shape(leaf: "pvera_lambda_d", found: [count], expected: "[2·r]")
    }
    try shapes.expect("pvera_lambda_b", [layer?.outFeatures ?? outputs])
    let samples = try settings.bool("sample_at_inference") ?? false
    return ModuleSummary(
      rank: count / 2, trainableParameters: shapes.elements(of: descriptor.leaves),
      notMergeable: samples ? "sample_at_inference draws another change in every pass" : nil)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    if let reason = summary.notMergeable { throw .notMergeable(reason: reason) }
    let rank = summary.rank ?? 0
    let (rows, columns) = (module.layer.outFeatures, module.layer.inFeatures)
    let shared = try module.context.shared(["pvera_A", "pvera_B"]) { () throws(MethodError) in
      try Self.draw(rank: rank, layers: module.context.layers, settings: module.settings)
    }
    let (a, b) = (shared[0], shared[1])
    guard a.shape.count == 2, a.shape[0] == 2 * rank, a.shape[1] >= columns else {
      throw .shape(
        leaf: "pvera_A", found: a.shape, expected: "\(2 * rank) rows, \(columns) columns or more")
    }
    guard b.shape.count == 2, b.shape[0] >= rows, b.shape[1] == rank else {
      throw .shape(
        leaf: "pvera_B", found: b.shape, expected: "\(rows) rows or more, \(rank) columns")
    }
    let lambdaB = try module.tensor("pvera_lambda_b").reals
    let lambdaD = try module.tensor("pvera_lambda_d").reals
    let (allA, allB) = (a.reals, b.reals)
    factors = LowRankFactors(
      rank: rank, rows: rows, columns: columns,
      b: (0..<rows * rank).map { lambdaB[$0 / rank] * allB[$0] },
      a: (0..<rank).flatMap { k in
        (0..<columns).map { lambdaD[k] * allA[k * a.shape[1] + $0] }
      }, scale: 1)
  }

  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }

  /// A, then B, uniform as VeRA's, in the precision of the base.
  private static func draw(
    rank: Int, layers: [LayerGeometry], settings: MethodSettings
  ) throws(MethodError) -> [String: AdapterTensor] {
    guard let first = layers.first else { throw .missingTensor(leaf: "pvera_A") }
    var generator = TorchGenerator(seed: try settings.seed("projection_prng_key", default: 0))
    let inputs = layers.reduce(0) { max($0, $1.inFeatures) }
    let outputs = layers.reduce(0) { max($0, $1.outFeatures) }
    let a = generator.kaimingUniform(2 * rank * inputs, fanIn: inputs)
    let b = generator.kaimingUniform(outputs * rank, fanIn: rank)
    return [
      "pvera_A": AdapterTensor(shape: [2 * rank, inputs], first.rounded(a)),
      "pvera_B": AdapterTensor(shape: [outputs, rank], first.rounded(b)),
    ]
  }
}
