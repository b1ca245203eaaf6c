/// PiSSA and OLoRA as trained: LoRA on what a start took out of the base, `W' = (W0 − U_r·S_r·V_r) + s·B·A`
/// (PiSSA), `W' = (W0 − s·Q_r·R_r) + s·B·A` (OLoRA). PEFT takes it out again whenever it loads the adapter.
///
/// Source: Meng et al. 2024 (2404.02948); Büyükakyüz 2024 (2406.01775); files as PEFT. The decompositions are
/// taken in f64; signs of their vectors cancel. An adapter that was converted is plain LoRA.
public struct ResidualInitialization: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "PiSSA, OLoRA", names: ["pissa", "olora"], peftTypes: ["LORA"],
    source: "Meng et al. 2024 (2404.02948); Büyükakyüz 2024 (2406.01775)",
    roundedTwiceInPEFT: true, leaves: ["lora_A.weight", "lora_B.weight", "lora_B.bias"],
    ignoredLeaves: LoRA.descriptor.ignoredLeaves, settings: LoRAFactors.settings,
    patterns: LoRAFactors.patterns, trainingSettings: LoRAFactors.trainingSettings,
    remark:
      "Merged into the original base; with the residual base at hand (`--base-is-residual`) plain LoRA."
  )

  private let layer: LayerGeometry
  private let factors: LoRAFactors
  private let plain: LoRA
  private let start: Start

  private enum Start: String {
    case pissa
    case olora
  }

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    guard case .text(let start)? = settings["init_lora_weights"] else { return false }
    return Start(rawValue: start) != nil && settings["base_is_residual"] != .bool(true)
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    var summary = try LoRA.examine(shapes, settings: plain(settings), layer: layer)
    if DoRA.claims(shapes, settings: settings) {
      summary.notMergeable = "DoRA on a base that its start has changed needs the changed base"
    } else if let layer, layer.kind != .linear {
      summary.notMergeable = "its start is defined for linear layers"
    } else if settings["init_lora_weights"] == .text(Start.olora.rawValue),
      layer?.storedTransposed == true
    {
      summary.notMergeable = "PEFT has no OLoRA for weights stored in × out"
    }
    return summary
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    if let reason = summary.notMergeable { throw .notMergeable(reason: reason) }
    layer = module.layer
    factors = try LoRAFactors(module)
    var withoutStart = module
    withoutStart.settings = Self.plain(module.settings)
    plain = try LoRA(withoutStart)
    start = try Start(rawValue: module.settings.text("init_lora_weights") ?? "") ?? .pissa
  }

  /// The settings of the LoRA that is added to what the start has left of the base.
  private static func plain(_ settings: MethodSettings) -> MethodSettings {
    settings.setting("base_is_residual", to: .bool(true))
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let matrix = factors.matrix
    let limit = min(matrix.rank, matrix.rows, matrix.columns)
    let (start, scale) = (start, factors.form.scale)
    return LowRankReplacement(factors: matrix) { base in
      switch start {
      case .pissa:
        let part = try SingularPart(of: base, places: 0..<limit)
        return (part.b, part.a)
      case .olora:
        let q = try QRDecomposition(Self.firstColumns(limit, of: base)).q
        let r = try base.products(withTransposed: q.values, rank: limit)
        return (q.values.map { $0 * scale }, r.values)
      }
    }
  }

  public func biasUpdate() -> (any BiasUpdate)? { plain.biasUpdate() }

  private static func firstColumns(_ count: Int, of base: any RowSource) throws -> DenseMatrix {
    var result = DenseMatrix(rows: base.rows, columns: count)
    try base.forEachRow { row, values in
      for column in 0..<count { result[row, column] = Double(values[column]) }
    }
    return result
  }
}
