import Adapters
import Kernels
import Safetensors

/// An adapter and how much of it is wanted.
public struct WeightedAdapter: Sendable, Equatable {
  public let path: String
  /// What the adapter's change is multiplied by.
  public let weight: Double

  public init(path: String, weight: Double = 1) {
    self.path = path
    self.weight = weight
  }
}

/// What a merge is asked to do.
public struct MergeRequest: Sendable {
  public var base: String
  /// In the order in which changes that are not additions follow each other.
  public var adapters: [WeightedAdapter]
  public var output: String
  /// Element type of the output's weights; nil keeps each tensor's own.
  public var element: ElementType?
  /// Bytes per shard; nil keeps the base's shards.
  public var maximumShardSize: Int?
  /// Worker threads. Never changes a byte of the output.
  public var threads: Int
  /// Replace an existing output.
  public var replacing = false
  /// Refuse adapters whose regions overlap, where the method promises that they do not.
  public var isStrict = false
  /// List adapter tensors that match nothing instead of refusing them.
  public var allowsUnused = false
  /// Go on when the base is not the one that the adapter's container names.
  public var allowsOtherBase = false
  /// Give the output head a tensor of its own wherever only one use of a tied embedding is adapted.
  public var unties = false
  /// The base is what the adapter's start (PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ) has left of the
  /// original one.
  public var baseIsResidual = false
  /// Settings to pass over although they are not known and might change the numbers.
  public var ignoredSettings: Set<String> = []
  /// Write the sum quantized; nil for 16 or 32 bits.
  public var quantization: QuantizationScheme.Kind?
  /// The model that a quantized `base` was made from: the change is added to its weights instead.
  public var baseWeights: String?
  /// Fail when a tensor keeps less of its change than this.
  public var minimumRetention: Double?
  /// Leave a record in the output that brings the base back.
  public var recordsUndo = false

  /// The model whose weights the change is added to.
  var weights: String { baseWeights ?? base }

  public init(base: String, adapters: [WeightedAdapter], output: String, threads: Int) {
    self.base = base
    self.adapters = adapters
    self.output = output
    self.threads = threads
  }
}

/// What a merge did.
public struct MergeReport: Sendable {
  public struct Change: Sendable {
    public let tensor: String
    /// ‖ΔW‖ and ‖W0‖, Frobenius.
    public let deltaNorm: Double
    public let weightNorm: Double
    /// The part of ΔW that the stored type kept; nil where ΔW is zero.
    public let retention: Double?
    /// Elements whose bits changed, and finite ones that became infinite.
    public let changed: Int
    public let overflowed: Int
    public let elements: Int
  }

  /// The record that brings the base back.
  public struct Undo: Sendable, Equatable {
    public let path: String
    public let bytes: Int
  }

  public let output: String
  /// In natural order of the tensors' names.
  public let changes: [Change]
  /// Tensors that the base does not have.
  public let added: [String]
  /// Tensors copied byte for byte.
  public let copied: Int
  public let unused: [AdapterError.Unmatched]
  public let warnings: [MergeWarning]
  public let bytesWritten: Int
  public let fingerprint: Fingerprint
  /// nil where none was asked for.
  public let undo: Undo?
}

/// What the user of a merge should know.
public enum MergeWarning: Sendable, Equatable {
  /// Overlapping patterns of which the adapter's file does not keep the order.
  case ambiguousPattern(adapter: String, AmbiguousPattern)
  /// The tied head changes with the adapted input embedding.
  case tiedHeadChanges(adapter: String, embedding: String)
  /// A head became a tensor of its own.
  case untied(head: String, embedding: String)
  /// Adapter and base disagree on the fingerprint, and the caller went on.
  case otherBase(adapter: String, stated: Fingerprint, found: Fingerprint)
  /// Elements that were finite became infinite in the stored type.
  case overflow(tensor: String, elements: Int)
  /// A tensor kept less than nine tenths of its change.
  case lowRetention(tensor: String, retention: Double)
  /// A tensor kept less than half of its change, because its quantization is coarser than the change.
  case lostInQuantization(tensor: String, retention: Double)
  /// The index and the shards of the base disagree in something that does not matter here.
  case checkpoint(CheckpointProblem)
  /// Two adapters change the same rows or columns; `shared` is nil where rows cross columns.
  case overlap(tensor: String, adapters: [String], shared: Int?)
  /// The configuration targets modules that the adapter has no tensors for.
  case untouchedTargets(adapter: String, modules: [String])
}

/// Why a merge is refused.
public enum MergeError: Error, Sendable {
  /// An adapter whose method has nothing that could be merged into weights.
  case notMergeable(adapter: String, method: String, reason: String)
  /// No tensor would change, or none did.
  case changesNothing(adapters: [String])
  /// The base is not the one that the adapter belongs to.
  case otherBase(adapter: String, stated: Fingerprint, found: Fingerprint)
  /// A tensor kept less of its change than was asked for.
  case retention(tensor: String, retention: Double, minimum: Double)
  /// Two adapters change the same rows or columns, and that was not to be.
  case overlap(tensor: String, adapters: [String], shared: Int?)
  /// An undo record of a merge from or into quantized weights was asked for.
  case undoOfQuantized
  /// Two adapters replace the same tensor.
  case conflictingReplacements(tensor: String, adapters: [String])
  /// A matrix does not have the shape that the change has.
  case matrixShape(tensor: String, rows: Int, columns: Int, found: [Int])
  /// A single file cannot hold what the merge needs: the output must be a folder.
  case outputMustBeFolder(path: String)
}
