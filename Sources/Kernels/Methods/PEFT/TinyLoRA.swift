/// TinyLoRA: `W' = W0 + B·(Σᵢ vᵢ·Pᵢ)·A`, A and B stored, from the singular vectors of W0, P random, v trained
/// and shared by groups of layers.
///
/// Source: arXiv 2602.04118; files, groups and the drawn P as PEFT. The r × r middle is summed in f64, and so
/// is its product with A, rounded once.
public struct TinyLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "TinyLoRA", names: ["tinylora"], peftTypes: ["TINYLORA"], source: "arXiv 2602.04118",
    leaves: [], frozenLeaves: ["tinylora_A", "tinylora_B", "tinylora_P"],
    sharedTensors: ["tinylora_v."], trainableShared: ["tinylora_v."],
    settings: [
      "u", "weight_tying", "projection_seed", "save_projection", "fan_in_fan_out",
    ],
    trainingSettings: ["r", "init_v_bound", "tinylora_dropout", "init_weights"],
    remark: "Which layers share a vector follows from their order in the model.")

  private let factors: LowRankFactors

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let a = try shapes.required("tinylora_A", dimensions: 2)
    let b = try shapes.required("tinylora_B", dimensions: 2)
    try shapes.expect("tinylora_A", [a[0], layer?.inFeatures ?? a[1]])
    try shapes.expect("tinylora_B", [layer?.outFeatures ?? b[0], a[0]])
    if let p = shapes["tinylora_P"] {
      try shapes.expect("tinylora_P", [p.first ?? 0, a[0], a[0]])
    }
    return ModuleSummary(rank: a[0], trainableParameters: 0)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let (layer, settings) = (module.layer, module.settings)
    let summary = try Self.examine(module.shapes, settings: settings, layer: layer)
    let rank = summary.rank ?? 0
    let layers = module.context.layers
    guard let place = layers.firstIndex(where: { $0.module == layer.module }) else {
      throw .layer(reason: "its place among the adapted layers is not known")
    }
    let group = try Self.group(of: place, layers: layers.count, settings: settings)
    let name = "tinylora_v.\(group)"
    guard let vector = module.context.shared[name]?.reals else {
      throw .missingTensor(leaf: name)
    }
    let projections: [Float]
    if let stored = module.tensors["tinylora_P"] {
      projections = stored.reals
    } else {
      let seed = try settings.seed("projection_seed", default: 42) &+ UInt64(place)
      var generator = TorchGenerator(seed: seed)
      projections = layer.rounded(
        generator.normal(
          vector.count * rank * rank, deviation: 1 / Double(rank).squareRoot()))
    }
    guard projections.count == vector.count * rank * rank else {
      throw .shape(
        leaf: name, found: [vector.count],
        expected: "[\(projections.count / max(rank * rank, 1))]")
    }
    var middle = DenseMatrix(rows: rank, columns: rank)
    for (index, weight) in vector.enumerated() {
      for place in middle.values.indices {
        middle.values[place] += Double(weight) * Double(projections[index * rank * rank + place])
      }
    }
    let a = DenseMatrix(
      rows: rank, columns: layer.inFeatures, try module.tensor("tinylora_A").reals)
    factors = LowRankFactors(
      rank: rank, rows: layer.outFeatures, columns: layer.inFeatures,
      b: try module.tensor("tinylora_B").reals, a: middle.multiplied(by: a).floats, scale: 1)
  }

  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }

  /// The vector that layer `place` of `layers` uses.
  private static func group(
    of place: Int, layers: Int, settings: MethodSettings
  ) throws(MethodError) -> Int {
    let tying = try settings.real("weight_tying") ?? 0
    // Python rounds halves to even.
    let groups = max(1, Int((Double(layers) * (1 - tying)).rounded(.toNearestOrEven)))
    return min(place / max(1, layers / groups), groups - 1)
  }
}
