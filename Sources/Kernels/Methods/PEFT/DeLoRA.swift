/// DeLoRA: `W' = W0 + B·diag(λ / (r·‖b_k‖·‖a_k‖))·A·diag(w)`, b_k the columns of B, a_k the rows of A, norms at
/// least 10⁻⁴, w the stored column norms of the original weight.
///
/// Source: Bini et al. 2025 (2503.18225); files as PEFT. The factors of A are taken in f64 and rounded to f32.
public struct DeLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "DeLoRA", names: ["delora"], peftTypes: ["DELORA"],
    source: "Bini et al. 2025 (2503.18225)", roundedTwiceInPEFT: true,
    leaves: ["delora_A", "delora_B", "delora_lambda"],
    frozenLeaves: ["delora_w_norm"], settings: [],
    trainingSettings: [
      "r", "rank_pattern", "delora_lambda", "lambda_pattern", "module_dropout", "init_weights",
    ])

  private let factors: LowRankFactors

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let a = try shapes.required("delora_A", dimensions: 2)
    let b = try shapes.required("delora_B", dimensions: 2)
    try shapes.expect("delora_A", [a[0], layer?.inFeatures ?? a[1]])
    try shapes.expect("delora_B", [layer?.outFeatures ?? b[0], a[0]])
    try shapes.expect("delora_lambda", [1])
    try shapes.expectVector("delora_w_norm", count: a[1])
    return ModuleSummary(
      rank: a[0], trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let rank = summary.rank ?? 0
    let (rows, columns) = (module.layer.outFeatures, module.layer.inFeatures)
    var a = try module.tensor("delora_A").reals
    let b = try module.tensor("delora_B").reals
    let norms = try module.tensor("delora_w_norm").reals
    let lambda = Double(try module.tensor("delora_lambda").reals[0])
    func norm(_ values: some Sequence<Float>) -> Double {
      max(values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot(), 1e-4)
    }
    for k in 0..<rank {
      let row = k * columns..<(k + 1) * columns
      let sizes = norm(a[row]) * norm((0..<rows).lazy.map { b[$0 * rank + k] })
      let factor = lambda / (Double(rank) * sizes)
      for (column, index) in row.enumerated() {
        a[index] = Float(factor * Double(a[index]) * Double(norms[column]))
      }
    }
    factors = LowRankFactors(rank: rank, rows: rows, columns: columns, b: b, a: a, scale: 1)
  }

  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }
}
