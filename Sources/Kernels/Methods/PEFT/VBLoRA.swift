/// VB-LoRA: `W' = W0 + B·A`, A and B put together from parts, each a mixture of the top k vectors of one
/// bank that all layers share, with the softmax of their logits for weights.
///
/// Source: Li et al. 2024 (2405.15179); files as PEFT, with the logits or with the chosen indices
/// and all weights but the last. Of equal logits the first are taken. Mixtures are summed in f64.
public struct VBLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "VB-LoRA", names: ["vblora"], peftTypes: ["VBLORA"],
    source: "Li et al. 2024 (2405.15179)",
    leaves: ["vblora_logits_A", "vblora_logits_B"],
    frozenLeaves: [
      "vblora_logits_A_topk_indices", "vblora_logits_A_topk_weights",
      "vblora_logits_B_topk_indices", "vblora_logits_B_topk_weights",
    ],
    sharedTensors: ["vblora_vector_bank"], trainableShared: ["vblora_vector_bank"],
    settings: ["num_vectors", "vector_length", "topk", "fan_in_fan_out"],
    trainingSettings: [
      "r", "save_only_topk_weights", "vblora_dropout", "init_vector_bank_bound", "init_logits_std",
    ])

  private let factors: LowRankFactors

  /// Positions in A, `r × in/v`, and in B, `out/v × r`.
  private static func positions(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> (rank: Int, a: Int, b: Int, isReduced: Bool) {
    let isReduced = shapes["vblora_logits_A"] == nil
    let suffix = isReduced ? "_topk_indices" : ""
    let a = try shapes.required("vblora_logits_A" + suffix, dimensions: 3)
    let b = try shapes.required("vblora_logits_B" + suffix, dimensions: 3)
    let length = try settings.positive("vector_length", default: 256)
    try shapes.expect(
      "vblora_logits_A" + suffix, [a[0], layer.map { $0.inFeatures / length } ?? a[1], a[2]])
    try shapes.expect(
      "vblora_logits_B" + suffix, [layer.map { $0.outFeatures / length } ?? b[0], a[0], a[2]])
    if isReduced {
      try shapes.expect("vblora_logits_A_topk_weights", [a[0], a[1], a[2] - 1])
      try shapes.expect("vblora_logits_B_topk_weights", [b[0], b[1], b[2] - 1])
    }
    return (a[0], a[0] * a[1], b[0] * b[1], isReduced)
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let found = try positions(shapes, settings: settings, layer: layer)
    // The logits that a reduced file no longer holds were trained all the same.
    let vectors = try settings.positive("num_vectors", default: 256)
    return ModuleSummary(rank: found.rank, trainableParameters: (found.a + found.b) * vectors)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let (settings, layer) = (module.settings, module.layer)
    let found = try Self.positions(module.shapes, settings: settings, layer: layer)
    guard let bank = module.context.shared["vblora_vector_bank"] else {
      throw .missingTensor(leaf: "vblora_vector_bank")
    }
    let length = try settings.positive("vector_length", default: 256)
    guard bank.shape.count == 2, bank.shape[1] == length else {
      throw .shape(leaf: "vblora_vector_bank", found: bank.shape, expected: "[vectors, \(length)]")
    }
    let count = try settings.positive("topk", default: 2)
    var parts: [[Float]] = []
    for leaf in ["vblora_logits_A", "vblora_logits_B"] {
      let mixture =
        found.isReduced
        ? try Mixture(
          leaf: leaf, indices: try module.tensor(leaf + "_topk_indices"),
          weights: try module.tensor(leaf + "_topk_weights"))
        : Mixture(logits: try module.tensor(leaf), count: count)
      parts.append(try mixture.vectors(of: bank, leaf: leaf))
    }
    // B's parts lie across its rows: (out/v, r, v) becomes (out/v, v, r).
    var b = [Float](repeating: 0, count: parts[1].count)
    for block in 0..<layer.outFeatures / length {
      for k in 0..<found.rank {
        for index in 0..<length {
          b[(block * length + index) * found.rank + k] =
            parts[1][(block * found.rank + k) * length + index]
        }
      }
    }
    factors = LowRankFactors(
      rank: found.rank, rows: layer.outFeatures, columns: layer.inFeatures, b: b, a: parts[0],
      scale: 1)
  }

  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }
}

/// For every position, which vectors are mixed, with which weights.
private struct Mixture {
  /// Vectors per position.
  var count: Int
  var indices: [Int] = []
  var weights: [Double] = []

  init(logits: AdapterTensor, count: Int) {
    let (values, choices) = (logits.reals, logits.shape.last ?? 0)
    self.count = min(count, choices)
    for start in stride(from: 0, to: values.count, by: max(choices, 1)) {
      let best = (0..<choices).sorted { (-values[start + $0], $0) < (-values[start + $1], $1) }
        .prefix(self.count)
      let largest = best.first.map { Double(values[start + $0]) } ?? 0
      let powers = best.map {
        ElementaryFunctions.exponential(Double(values[start + $0]) - largest)
      }
      let sum = powers.reduce(0, +)
      indices += best
      weights += powers.map { $0 / sum }
    }
  }

  init(leaf: String, indices: AdapterTensor, weights: AdapterTensor) throws(MethodError) {
    count = indices.shape.last ?? 0
    guard let integers = indices.integers else {
      throw .values(leaf: leaf + "_topk_indices", reason: "are not integers")
    }
    self.indices = integers
    let given = weights.reals.map { Double($0) }
    for position in 0..<integers.count / max(count, 1) {
      let own = given[position * (count - 1)..<(position + 1) * (count - 1)]
      self.weights += own
      self.weights.append(1 - own.reduce(0, +))
    }
  }

  /// The mixed vectors, one position after the other, rounded to f32.
  func vectors(of bank: AdapterTensor, leaf: String) throws(MethodError) -> [Float] {
    let (vectors, length) = (bank.shape[0], bank.shape[1])
    guard indices.allSatisfy({ (0..<vectors).contains($0) }) else {
      throw .values(leaf: leaf, reason: "point outside the bank of \(vectors) vectors")
    }
    let values = bank.reals
    var result: [Float] = []
    result.reserveCapacity(indices.count / max(count, 1) * length)
    for start in stride(from: 0, to: indices.count, by: max(count, 1)) {
      for index in 0..<length {
        var sum = 0.0
        for k in start..<start + count {
          sum += weights[k] * Double(values[indices[k] * length + index])
        }
        result.append(Float(sum))
      }
    }
    return result
  }
}
