/// Uni-LoRA: `W' = W0 + B·A`, every element of all A and B one of d trained numbers, divided by the root of the
/// number of places that share it.
///
/// Source: arXiv 2506.00799; files as PEFT. Where the assignment is not stored it is drawn again: each number
/// equally often, the remainder at random, shuffled by NumPy's generator.
public struct UniLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "Uni-LoRA", names: ["unilora"], peftTypes: ["UNILORA"], source: "arXiv 2506.00799",
    leaves: [],
    frozenLeaves: [
      "unilora_indices_A", "unilora_indices_B", "unilora_scales_A", "unilora_scales_B",
    ],
    sharedTensors: ["unilora_theta_d"], trainableShared: ["unilora_theta_d"],
    settings: ["r", "proj_seed", "theta_d_length", "save_indices", "fan_in_fan_out"],
    trainingSettings: ["unilora_dropout", "init_theta_d_bound", "init_weights"],
    remark: "Assignments that were not saved are drawn again; they follow the layers' order.")

  private let factors: LowRankFactors

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    guard shapes["unilora_indices_A"] != nil else {
      return ModuleSummary(
        rank: try settings.positive("r", default: 4), trainableParameters: 0)
    }
    let a = try shapes.required("unilora_indices_A", dimensions: 2)
    let b = try shapes.required("unilora_indices_B", dimensions: 2)
    try shapes.expect("unilora_indices_A", [a[0], layer?.inFeatures ?? a[1]])
    try shapes.expect("unilora_indices_B", [layer?.outFeatures ?? b[0], a[0]])
    try shapes.expect("unilora_scales_A", a)
    try shapes.expect("unilora_scales_B", b)
    return ModuleSummary(rank: a[0], trainableParameters: 0)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let (layer, settings) = (module.layer, module.settings)
    let summary = try Self.examine(module.shapes, settings: settings, layer: layer)
    let rank = summary.rank ?? 0
    guard let theta = module.context.shared["unilora_theta_d"]?.reals else {
      throw .missingTensor(leaf: "unilora_theta_d")
    }
    let (aCount, bCount) = (rank * layer.inFeatures, rank * layer.outFeatures)
    let a: [Float]
    let b: [Float]
    if module.tensors["unilora_indices_A"] != nil {
      a = try Self.elements("A", theta, module)
      b = try Self.elements("B", theta, module)
    } else {
      let layers = module.context.layers
      guard let place = layers.firstIndex(where: { $0.module == layer.module }) else {
        throw .layer(reason: "its place among the adapted layers is not known")
      }
      let drawn = try module.context.drawn.tensors(of: "unilora") { () throws(MethodError) in
        try Self.draw(numbers: theta.count, rank: rank, layers: layers, settings: settings)
      }
      guard let indices = drawn["indices"]?.integers, let scales = drawn["scales"]?.reals else {
        throw .missingTensor(leaf: "unilora_indices_A")
      }
      let rounded = layer.rounded(scales)
      let start = layers[..<place].reduce(0) { $0 + rank * ($1.inFeatures + $1.outFeatures) }
      let own = indices[start..<start + aCount + bCount].map { theta[$0] * rounded[$0] }
      a = Array(own[..<aCount])
      b = Array(own[aCount...])
    }
    factors = LowRankFactors(
      rank: rank, rows: layer.outFeatures, columns: layer.inFeatures, b: b, a: a, scale: 1)
  }

  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }

  /// The elements of factor `name` from stored indices and scales.
  private static func elements(
    _ name: String, _ theta: [Float], _ module: AdapterModule
  ) throws(MethodError) -> [Float] {
    let leaf = "unilora_indices_\(name)"
    guard let indices = try module.tensor(leaf).integers,
      indices.allSatisfy({ theta.indices.contains($0) })
    else {
      throw .values(leaf: leaf, reason: "point outside \(theta.count) numbers")
    }
    return zip(indices, try module.tensor("unilora_scales_\(name)").reals).map {
      theta[$0] * $1
    }
  }

  /// The assignment of all layers, A before B, and the scale of every number.
  private static func draw(
    numbers: Int, rank: Int, layers: [LayerGeometry], settings: MethodSettings
  ) throws(MethodError) -> [String: AdapterTensor] {
    guard numbers > 0, numbers == (try settings.integer("theta_d_length") ?? 256) else {
      throw .shape(
        leaf: "unilora_theta_d", found: [numbers],
        expected: "[\(try settings.integer("theta_d_length") ?? 256)]")
    }
    let total = layers.reduce(0) { $0 + rank * ($1.inFeatures + $1.outFeatures) }
    let (times, rest) = total.quotientAndRemainder(dividingBy: numbers)
    var generator = NumpyGenerator(seed: try settings.seed("proj_seed", default: 42))
    var indices = (0..<total - rest).map { $0 / times }
    if rest > 0 { indices += generator.choice(numbers, count: rest) }
    generator.shuffle(&indices)
    var counts = [Int](repeating: 0, count: numbers)
    for index in indices { counts[index] += 1 }
    let scales = counts.map { $0 == 0 ? 0 : Float(1 / Double($0).squareRoot()) }
    return [
      "indices": AdapterTensor(shape: [total], values: .integer(indices)),
      "scales": AdapterTensor(shape: [numbers], scales),
    ]
  }
}
