/// LoHa: `W' = W0 + s·(A₁·B₁)∘(A₂·B₂)`, `s = α/r`; convolutions also in CP form, each factor
/// `Σ_xy t[x, y, κ]·a[x, p]·b[y, q]`.
///
/// Source: Hyeon-Woo et al. 2022 (2108.06098), section 2.2; files as LyCORIS and PEFT.
/// Arithmetic: each product is summed in f32 by fused multiply-add in ascending rank; the two are
/// multiplied, then scaled, each rounded to f32.
public struct LoHa: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "LoHa", names: ["loha"], peftTypes: ["LOHA"],
    source: "Hyeon-Woo et al. 2022 (2108.06098), section 2.2",
    leaves: [
      "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2",
    ],
    settings: ["r", "alpha"],
    patterns: [
      SettingPattern(table: "rank_pattern", setting: "r"),
      SettingPattern(table: "alpha_pattern", setting: "alpha"),
    ],
    trainingSettings: ["rank_dropout", "module_dropout", "use_effective_conv2d", "init_weights"])

  private let layer: LayerGeometry
  private let scale: Float
  private let factors: [ChannelFactor]

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    var ranks: [Int] = []
    for index in 1...2 {
      ranks.append(
        try ChannelFactor.rank(
          shapes, a: "hada_w\(index)_a", b: "hada_w\(index)_b", core: "hada_t\(index)",
          outputs: layer?.outFeatures, layer: layer))
    }
    guard ranks[0] == ranks[1] else {
      throw .shape(
        leaf: "hada_w2_b", found: try shapes.required("hada_w2_b"), expected: "rank \(ranks[0])")
    }
    return ModuleSummary(
      rank: ranks[0], scale: try scale(rank: ranks[0], settings: settings),
      trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  /// `α/r`, r the tensors' own.
  private static func scale(rank: Int, settings: MethodSettings) throws(MethodError) -> Double {
    rank == 0 ? 0 : (try settings.real("alpha") ?? 8) / Double(rank)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    scale = Float(summary.scale ?? 0)
    factors = [
      try ChannelFactor(module, a: "hada_w1_a", b: "hada_w1_b", core: "hada_t1"),
      try ChannelFactor(module, a: "hada_w2_a", b: "hada_w2_b", core: "hada_t2"),
    ]
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    HadamardUpdate(
      first: factors[0], second: factors[1], scale: scale, rows: layer.outFeatures,
      columns: layer.inFeatures)
  }
}

private struct HadamardUpdate: RowwiseDelta {
  let first: ChannelFactor
  let second: ChannelFactor
  let scale: Float
  let rows: Int
  let columns: Int

  func makeRowWriter() -> (Int, UnsafeMutableBufferPointer<Float>) -> Void {
    var other = [Float](repeating: 0, count: columns)
    return { row, values in
      first.addRow(row, to: values)
      other.withUnsafeMutableBufferPointer { other in
        other.update(repeating: 0)
        second.addRow(row, to: other)
        for column in values.indices { values[column] = values[column] * other[column] * scale }
      }
    }
  }

  func transposed() -> (any WeightUpdate)? {
    guard let first = first.transposed(), let second = second.transposed() else { return nil }
    return HadamardUpdate(
      first: first, second: second, scale: scale, rows: columns, columns: rows)
  }
}
