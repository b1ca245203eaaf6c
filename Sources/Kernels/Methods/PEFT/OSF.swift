/// OSF: the largest k singular components of W0 stay, the others are replaced by trained ones:
/// `W' = W0 − Σ_{i ≥ k} σᵢ·uᵢ·vᵢᵀ + U·diag(S)·V`.
///
/// Source: Nayak et al. 2025 (2504.07097); files as PEFT. The decomposition is taken in f64.
public struct OSF: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "OSF", names: ["osf"], peftTypes: ["OSF"], source: "Nayak et al. 2025 (2504.07097)",
    roundedTwiceInPEFT: true,
    leaves: ["osf_svd_params.U_low", "osf_svd_params.S_low", "osf_svd_params.V_low"],
    settings: ["effective_rank"],
    patterns: [SettingPattern(table: "rank_pattern", setting: "effective_rank", rule: .search)],
    trainingSettings: ["init_weights", "target_svd_config"])

  private let factors: LowRankFactors

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = try shapes.required("osf_svd_params.S_low", dimensions: 1)[0]
    let u = try shapes.required("osf_svd_params.U_low", dimensions: 2)
    let v = try shapes.required("osf_svd_params.V_low", dimensions: 2)
    try shapes.expect("osf_svd_params.U_low", [layer?.outFeatures ?? u[0], count])
    try shapes.expect("osf_svd_params.V_low", [count, layer?.inFeatures ?? v[1]])
    let smaller = min(u[0], v[1])
    guard count == smaller - (try kept(settings, of: smaller)) else {
      throw .shape(
        leaf: "osf_svd_params.S_low", found: [count],
        expected: "[\(smaller - (try kept(settings, of: smaller)))]")
    }
    return ModuleSummary(
      rank: count, trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  /// Components that stay: a number, a part of all, or half of them.
  private static func kept(
    _ settings: MethodSettings, of smaller: Int
  ) throws(MethodError) -> Int {
    switch settings["effective_rank"] {
    case nil: smaller / 2
    case .real(let part) where part > 0 && part <= 1: Int(Double(smaller) * part)
    default: max(0, min(smaller, try settings.integer("effective_rank") ?? 0))
    }
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let rank = summary.rank ?? 0
    let values = try module.tensor("osf_svd_params.S_low").reals
    factors = LowRankFactors(
      rank: rank, rows: module.layer.outFeatures, columns: module.layer.inFeatures,
      b: try module.tensor("osf_svd_params.U_low").reals.enumerated().map {
        $1 * values[$0 % rank]
      },
      a: try module.tensor("osf_svd_params.V_low").reals, scale: 1)
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let smaller = min(factors.rows, factors.columns)
    let places = smaller - factors.rank..<smaller
    return LowRankReplacement(factors: factors) { base in
      let part = try SingularPart(of: base, places: places)
      return (part.b, part.a)
    }
  }
}
