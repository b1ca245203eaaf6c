import Adapters

/// Why a merge cannot be recorded or undone. Facts only: the command line words them.
public enum UndoError: Error, Sendable {
  // Recording.

  /// A record stands beside the model's files: the output must be a folder.
  case outputMustBeFolder(path: String)
  /// The record keeps a model whose tensors keep their element types.
  case elementTypeChanges
  /// A file of the model has the record's name.
  case nameTaken(path: String)
  /// The kernels that merge and those that record do not agree.
  case notReproducible(tensor: String)

  // Reading a record.

  /// There is no record at `path`.
  case noRecord(path: String)
  /// The file is not what was written.
  case damaged(path: String, reason: String)
  /// A record of a format version that is not known.
  case version(path: String, version: String)
  /// The record is of another number of adapters.
  case adapterCount(path: String, recorded: Int, given: Int)
  /// An adapter is not the one recorded in its place, or has another weight.
  case otherAdapter(path: String, adapter: String, difference: AdapterDifference)
  /// The model is not the one that was recorded: a tensor is missing, there besides, or has other bytes.
  case otherModel(path: String, tensor: String)
  /// A tensor did not come back as it was: the record was made by another version of the arithmetic.
  case notRestored(tensor: String)

  // Undoing without a record.

  /// Quantized weights: what they were before quantization is not to be known.
  case quantized(path: String)
  /// Tensors that the adapters replaced: what they were is not to be known.
  case replaced(tensors: [String])
  /// A change that W' and the adapter do not tell.
  case notReversible(tensor: String, method: String, reason: Reason)

  public enum AdapterDifference: Sendable, Equatable {
    case tensors, configuration
    case weight(recorded: Double, given: Double)
  }

  public enum Reason: Sendable, Equatable {
    /// The factors depend on W0.
    case factorsNeedBase
    /// The change depends on W0 in some other way.
    case changeNeedsBase
    /// A factor is zero.
    case zeroFactor
  }
}
