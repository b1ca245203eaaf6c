import Kernels

/// What an extraction is asked to do.
public struct ExtractRequest: Sendable {
  public enum Method: String, Sendable, CaseIterable {
    /// 1LoRA or SBoRA where every changed matrix is of that form; DoRA where all of them are one of the
    /// wanted rank up to rounding and the first is no LoRA of it; otherwise LoRA.
    case auto
    case lora
    /// A magnitude per row and a LoRA of the direction.
    case dora
    case oneLoRA = "1lora"
    case sbora
  }

  /// How large a LoRA is.
  public enum Size: Sendable, Equatable {
    /// The same rank everywhere.
    case rank(Int)
    /// Of every matrix the smallest rank that keeps this part of ‖ΔW‖², above 0 and up to 1.
    case energy(Double)
  }

  public var base: String
  public var tuned: String
  public var output: String
  public var method = Method.auto
  /// Needed for a LoRA or DoRA; of SBoRA a rank bounds the rows or columns.
  public var size: Size?
  public var threads = 1
  public var replacing = false

  public init(base: String, tuned: String, output: String) {
    self.base = base
    self.tuned = tuned
    self.output = output
  }
}

/// What an extraction found.
public struct ExtractReport: Sendable {
  public struct Module: Sendable {
    public let module: String
    public let rank: Int
    /// The part of ‖ΔW‖² that the adapter holds.
    public let keptEnergy: Double
    /// ‖ΔW‖².
    let deltaSquared: Double
  }

  public let output: String
  public let method: ExtractRequest.Method
  /// In natural order.
  public let modules: [Module]
  /// Tensors that are stored whole.
  public let replaced: [String]
  /// Tensors that are the same in both models.
  public let unchanged: Int
  public let bytesWritten: Int

  /// The part of ‖ΔW‖² that is kept over all modules together.
  public var keptEnergy: Double {
    let total = modules.reduce(0) { $0 + $1.deltaSquared }
    let kept = modules.reduce(0) { $0 + $1.deltaSquared * $1.keptEnergy }
    return total > 0 ? kept / total : 1
  }
}

/// Why nothing can be extracted.
public enum ExtractError: Error, Sendable, Equatable {
  /// No tensor differs.
  case identical(base: String, tuned: String)
  /// Tensors of the base that the tuned model lacks.
  case missing(tensors: [String], tuned: String)
  /// A tensor has another shape or an element type that cannot be subtracted.
  case shape(tensor: String, base: [Int], tuned: [Int])
  /// A LoRA is needed, and neither rank nor energy was given.
  case noSize
  /// A matrix holds numbers that are not finite.
  case notFinite(tensor: String)
  /// The wanted method has no form for a changed matrix.
  case unsuited(tensor: String, method: ExtractRequest.Method)
}
