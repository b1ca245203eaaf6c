/// DEFT: `W' = W0 + Q·(c·R − Lᵀ·W0)`, Q and L from P: "relu" Q = P, L = max(P, 0); "qr" Q = L, orthonormal
/// columns that span P's. c = α/r, or 1. With `para` there is no R.
///
/// Source: PEFT, DEFT and PaRa. Arithmetic: L, Q and Lᵀ·W0 in f64, rounded to f32.
public struct DEFT: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "DEFT", names: ["deft"], peftTypes: ["DEFT"], source: "PEFT, DEFT and PaRa",
    roundedTwiceInPEFT: true, leaves: ["deft_P", "deft_R"],
    settings: ["decomposition_method", "alpha", "para", "fan_in_fan_out"],
    trainingSettings: ["r", "init_scale", "deft_dropout", "init_weights"])

  private let p: DenseMatrix
  private let columns: Int
  /// c·R, `rank × columns`; empty with `para`.
  private let injected: [Float]
  private let isOrthogonal: Bool

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let p = try shapes.required("deft_P", dimensions: 2)
    try shapes.expect("deft_P", [layer?.outFeatures ?? p[0], p[1]])
    guard p[0] >= p[1] else {
      throw .shape(leaf: "deft_P", found: p, expected: "at least as many rows as columns")
    }
    if !(try settings.bool("para") ?? false) {
      let r = try shapes.required("deft_R", dimensions: 2)
      try shapes.expect("deft_R", [p[1], layer?.inFeatures ?? r[1]])
    }
    _ = try isOrthogonal(settings)
    return ModuleSummary(
      rank: p[1], scale: try scale(settings, rank: p[1]),
      trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  private static func isOrthogonal(_ settings: MethodSettings) throws(MethodError) -> Bool {
    switch try settings.text("decomposition_method") ?? "relu" {
    case "relu": false
    case "qr": true
    default: throw .setting(name: "decomposition_method", reason: "must be relu or qr")
    }
  }

  private static func scale(
    _ settings: MethodSettings, rank: Int
  ) throws(MethodError) -> Double {
    guard let alpha = try settings.real("alpha"), alpha != 0 else { return 1 }
    return alpha / Double(rank)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let tensor = try module.tensor("deft_P")
    p = DenseMatrix(rows: tensor.shape[0], columns: tensor.shape[1], tensor.reals)
    columns = module.layer.inFeatures
    isOrthogonal = try Self.isOrthogonal(module.settings)
    let scale = Float(summary.scale ?? 1)
    injected =
      try module.settings.bool("para") ?? false
      ? [] : module.tensor("deft_R").reals.map { scale * $0 }
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    ProjectionUpdate(
      p: p, columns: columns, injected: injected, isOrthogonal: isOrthogonal)
  }
}

private struct ProjectionUpdate: WeightUpdate {
  let p: DenseMatrix
  let columns: Int
  let injected: [Float]
  let isOrthogonal: Bool

  var rows: Int { p.rows }
  var form: UpdateForm { .additive }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    let q = isOrthogonal ? QRDecomposition(p).q : p
    let left = isOrthogonal ? q.values : p.values.map { max($0, 0) }
    let projected = try base.products(withTransposed: left, rank: p.columns).values
    let a = projected.indices.map {
      Float((injected.isEmpty ? 0 : Double(injected[$0])) - projected[$0])
    }
    return LowRankUpdate(
      LowRankFactors(
        rank: p.columns, rows: rows, columns: columns, b: q.floats, a: a, scale: 1))
  }
}
