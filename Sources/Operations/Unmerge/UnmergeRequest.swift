import Adapters

/// What is to be unmerged.
public struct UnmergeRequest: Sendable {
  /// The merged model.
  public var merged: String
  /// What was merged, in that order.
  public var adapters: [WeightedAdapter]
  public var output: String
  /// Worker threads. Never changes a byte of the output.
  public var threads: Int
  /// The undo record; nil for the one in the merged model's folder, where there is one.
  public var record: String?
  /// Do without a record even where there is one.
  public var ignoresRecord = false
  /// Replace an existing output.
  public var replacing = false
  /// Without a record: leave tensors as they are that cannot come back.
  public var keepsReplaced = false
  /// Without a record: list adapter tensors that match nothing instead of refusing them.
  public var allowsUnused = false
  /// Without a record: the base was what the adapter's start (PiSSA, OLoRA, LoftQ) had left of the
  /// original one.
  public var baseIsResidual = false
  /// Without a record: settings to pass over although they are not known and might change the numbers.
  public var ignoredSettings: Set<String> = []

  public init(merged: String, adapters: [WeightedAdapter], output: String, threads: Int) {
    self.merged = merged
    self.adapters = adapters
    self.output = output
    self.threads = threads
  }
}

/// What an unmerge did.
public struct UnmergeReport: Sendable {
  public let output: String
  /// Tensors of the output that the merged model has with other bytes.
  public let restored: Int
  /// Tensors of the merged model that the base did not have, and that are gone.
  public let dropped: Int
  /// Tensors copied byte for byte.
  public let copied: Int
  /// Tensors that the adapters replaced, and that are still theirs.
  public let kept: [String]
  /// Every byte of every tensor is what it was before the merge, and has been checked to be.
  public let exact: Bool
  public let bytesWritten: Int
  public let fingerprint: Fingerprint
}
