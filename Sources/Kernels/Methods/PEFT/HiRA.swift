/// HiRA: `W' = W0∘(1 + B·A)`; of an embedding `(B·A)ᵀ`.
///
/// Source: Huang et al. 2025 (HiRA, ICLR); files as PEFT.
public struct HiRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "HiRA", names: ["hira"], peftTypes: ["HIRA"], source: "Huang et al. 2025 (ICLR)",
    roundedTwiceInPEFT: true, leaves: ["hira_A", "hira_B", "hira_embedding_A", "hira_embedding_B"],
    settings: ["fan_in_fan_out"],
    trainingSettings: ["r", "rank_pattern", "hira_dropout", "init_weights"])

  private let factors: LowRankFactors

  private static func isEmbedding(_ shapes: [String: [Int]]) -> Bool {
    shapes["hira_embedding_A"] != nil
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = shapes.elements(of: descriptor.leaves)
    if isEmbedding(shapes) {
      let a = try shapes.required("hira_embedding_A", dimensions: 2)
      let b = try shapes.required("hira_embedding_B", dimensions: 2)
      try shapes.expect("hira_embedding_A", [a[0], layer?.outFeatures ?? a[1]])
      try shapes.expect("hira_embedding_B", [layer?.inFeatures ?? b[0], a[0]])
      return ModuleSummary(rank: a[0], trainableParameters: count)
    }
    let a = try shapes.required("hira_A")
    let b = try shapes.required("hira_B")
    guard a.count >= 2, b.count == a.count else {
      throw .shape(leaf: "hira_A", found: a, expected: "[r, in…]")
    }
    let kernel = layer.map {
      $0.kind == .convolution ? Array($0.shape.dropFirst()) : [$0.inFeatures]
    }
    try shapes.expect("hira_A", [a[0]] + (kernel ?? Array(a.dropFirst())))
    try shapes.expect(
      "hira_B", [layer?.outFeatures ?? b[0], a[0]] + [Int](repeating: 1, count: a.count - 2))
    return ModuleSummary(rank: a[0], trainableParameters: count)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let (rank, rows, columns) = (
      summary.rank ?? 0, module.layer.outFeatures, module.layer.inFeatures
    )
    if Self.isEmbedding(module.shapes) {
      factors = LowRankFactors(
        rank: rank, rows: columns, columns: rows, b: try module.tensor("hira_embedding_B").reals,
        a: try module.tensor("hira_embedding_A").reals, scale: 1
      ).transposed()
    } else {
      factors = LowRankFactors(
        rank: rank, rows: rows, columns: columns, b: try module.tensor("hira_B").reals,
        a: try module.tensor("hira_A").reals, scale: 1)
    }
  }

  public func weightUpdate() -> (any WeightUpdate)? { ElementScaling(factors: factors) }
}

/// `W' = (1 + B·A)∘W`.
private struct ElementScaling: WeightUpdate {
  let factors: LowRankFactors

  var rows: Int { factors.rows }
  var columns: Int { factors.columns }
  var form: UpdateForm { .scaled(.perElement) }

  func addDelta(to delta: RowBand, scale: Float) {}

  func fillFactors(
    base: RowBand, delta: RowBand, factors result: UnsafeMutableBufferPointer<Float>
  ) {
    let values = result.slice(0..<base.rows.count * columns)
    values.update(repeating: 0)
    MergeRows.addLowRank(
      [factors], to: RowBand(rows: base.rows, columns: columns, values: values))
    for index in values.indices { values[index] += 1 }
  }

  func transposed() -> (any WeightUpdate)? { ElementScaling(factors: factors.transposed()) }
}
