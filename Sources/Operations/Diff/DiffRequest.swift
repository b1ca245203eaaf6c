/// What a comparison is asked to do.
public struct DiffRequest: Sendable {
  public var a: DiffOperand
  public var b: DiffOperand
  /// Tensors to look at, by name: those that match one of `included` (all, when there is none) and none
  /// of `excluded`.
  public var included: [Glob] = []
  public var excluded: [Glob] = []
  /// Tensors whose ‖A − B‖ is at most this part of ‖A‖ count as equal, whatever their types; nil: only
  /// the same bytes are.
  public var tolerance: Double?
  /// Of how many of the most changed matrices the singular values of the change are computed.
  public var spectra = 0
  /// How the merges of sums are made: all of a merge request but base, adapters and output counts.
  public var merging = MergeRequest(base: "", adapters: [], output: "", threads: 1)
  /// Worker threads. Never changes a number of the result.
  public var threads: Int

  public init(a: DiffOperand, b: DiffOperand, threads: Int) {
    self.a = a
    self.b = b
    self.threads = threads
  }

  func wants(_ name: String) -> Bool {
    (included.isEmpty || included.contains { $0.matches(name) })
      && !excluded.contains { $0.matches(name) }
  }
}

/// Why two things cannot be compared.
public enum DiffError: Error, Sendable, Equatable {
  /// One is an adapter and the other a model.
  case differentKinds(adapter: String, model: String)
  /// The patterns leave nothing to compare.
  case nothingSelected
  /// The base of a sum is an adapter itself.
  case adapterAsBase(path: String)
  /// A quantized weight whose parts do not fit together.
  case quantizedWeight(path: String, tensor: String, reason: String)
}
