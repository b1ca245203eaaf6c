/// How adapters become one: PEFT's `combination_type`s of `add_weighted_adapter`.
public enum CombinationMode: String, Sendable, CaseIterable {
  /// Factors side by side: exactly Σ w·ΔW, at the sum of the ranks.
  case cat
  /// Σ c·A and Σ √|c|·B with c = w·s: not Σ w·ΔW, for products of different adapters appear.
  case linear
  /// The best approximation of Σ w·ΔW of the wanted rank.
  case svd
  /// TIES (Yadav et al. 2023) on the factors.
  case ties
  /// TIES on the changes, then the SVD of the result.
  case tiesSVD = "ties-svd"
  /// DARE (Yu et al. 2023) on the factors.
  case dareLinear = "dare-linear"
  case dareTies = "dare-ties"
  case dareLinearSVD = "dare-linear-svd"
  case dareTiesSVD = "dare-ties-svd"
  /// The largest elements of every factor, then as `linear`.
  case magnitudePrune = "magnitude-prune"
  case magnitudePruneSVD = "magnitude-prune-svd"

  /// The mode of this name; underscores stand for hyphens, as PEFT spells them.
  public init?(name: String) {
    self.init(rawValue: name.map { $0 == "_" ? "-" : String($0) }.joined().lowercased())
  }

  /// What the mode works on.
  enum Space {
    /// The factors put side by side.
    case stackedFactors
    /// The A's, and apart from them the B's.
    case factors
    /// The changes themselves, `out × in`.
    case changes
  }

  var space: Space {
    switch self {
    case .cat, .svd: .stackedFactors
    case .linear, .ties, .dareLinear, .dareTies, .magnitudePrune: .factors
    case .tiesSVD, .dareLinearSVD, .dareTiesSVD, .magnitudePruneSVD: .changes
    }
  }

  /// Whether the mode keeps only a part of every tensor.
  public var needsDensity: Bool {
    switch self {
    case .cat, .linear, .svd: false
    default: true
    }
  }

  var prunesAtRandom: Bool {
    switch self {
    case .dareLinear, .dareTies, .dareLinearSVD, .dareTiesSVD: true
    default: false
    }
  }

  var electsSigns: Bool {
    switch self {
    case .ties, .tiesSVD, .dareTies, .dareTiesSVD: true
    default: false
    }
  }
}

/// How TIES elects the sign of an element.
public enum MajoritySign: String, Sendable, CaseIterable {
  /// The sign of the sum.
  case total
  /// The sign that more adapters have.
  case frequency
}
