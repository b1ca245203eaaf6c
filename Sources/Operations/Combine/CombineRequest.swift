import Adapters
import Kernels

/// What a combination is asked to do.
public struct CombineRequest: Sendable {
  public var adapters: [WeightedAdapter]
  public var output: String
  public var mode = CombinationMode.cat
  /// The largest rank of a module: of `svd` modes, and what other modes are brought down to. Without
  /// it, `svd` modes take the largest rank of any module, as PEFT does, and the others keep theirs.
  public var rank: Int?
  /// The part of every tensor that pruning keeps, above 0 and up to 1.
  public var density: Double?
  public var seed: UInt64 = 0
  public var majoritySign = MajoritySign.total
  /// A base that says how large the layers are where the adapters do not.
  public var base: String?
  /// Worker threads. Never changes a byte of the output.
  public var threads = 1
  public var replacing = false

  public init(adapters: [WeightedAdapter], output: String) {
    self.adapters = adapters
    self.output = output
  }
}

/// What a combination did.
public struct CombineReport: Sendable {
  public struct Module: Sendable {
    public let module: String
    public let rank: Int
    /// ‖Δ − Δ_r‖ / ‖Δ‖, Frobenius, of the change that the mode gives and its form of rank r.
    public let truncation: Double
    let deltaSquared: Double
  }

  public let output: String
  /// In natural order; empty where the adapter was copied as it is.
  public let modules: [Module]
  /// Whole tensors that were carried over.
  public let replacements: Int
  /// The one adapter at weight 1 was copied bit for bit.
  public let copied: Bool
  public let bytesWritten: Int

  /// ‖Δ − Δ_r‖ / ‖Δ‖ over all modules together.
  public var truncation: Double {
    let total = modules.reduce(0) { $0 + $1.deltaSquared }
    let lost = modules.reduce(0) { $0 + $1.deltaSquared * $1.truncation * $1.truncation }
    return total > 0 ? (lost / total).squareRoot() : 0
  }
}

/// Why adapters cannot be combined.
public enum CombineError: Error, Sendable, Equatable {
  /// A module whose change is not `B·A` whatever the base is.
  case notLowRank(adapter: String, module: String, method: String)
  /// A module whose layer's size is not in the adapters: a base is needed.
  case unknownLayer(adapter: String, module: String, method: String)
  /// A part of an adapter that has no sum: what it is, and why.
  case unsupported(adapter: String, part: String, reason: String)
  /// Adapters that disagree on the size of a module's layer.
  case shapes(module: String, adapters: [String], found: [[Int]])
  /// Modes on factors need equal ranks.
  case ranks(module: String, mode: CombinationMode, ranks: [Int])
  /// Adapters replace a tensor by different ones.
  case conflictingReplacements(tensor: String, adapters: [String])
  /// A replaced tensor is wanted in part, which needs the base.
  case partialReplacement(tensor: String, adapters: [String], weight: Double)
}
