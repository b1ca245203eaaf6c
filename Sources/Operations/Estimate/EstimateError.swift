import Kernels
import Safetensors

/// Why an estimate cannot be made.
public enum EstimateError: Error, Sendable, Equatable {
  /// Nothing is at the path.
  case notFound(path: String)
  case file(FileError)
  case checkpoint(CheckpointError)
  /// The state of a quantized tensor is not what bitsandbytes writes.
  case quantizationState(tensor: String)
  case configNotJSON(path: String, JSONError)
  /// The folder holds neither weights nor `config.json`, or what is asked for is not in the weights
  /// and needs `config.json`.
  case missingConfig(folder: String)
  /// Without weights the shapes follow from the architecture, and this one is not known.
  case unknownArchitecture(path: String, modelType: String?, known: [String])
  /// A field of `config.json` is absent (`found` nil) or has a value that no model has.
  case configField(path: String, field: String, found: String?)
  case unknownMethod(name: String, known: [String])
  /// A part after a plus: `lora+norms`.
  case unknownAddition(name: String, known: [String])
  /// `--rank` for a method without one.
  case noRank(method: String)
  /// The targets are no regular expression.
  case invalidTargets(String)
  /// No layer of the model is targeted.
  case nothingTargeted(targets: String)
  /// The method does not fit a layer, or a hyper-parameter has a value that it cannot have.
  case method(MethodError, method: String, module: String?)
  /// Rank, sequence length or batch size out of range.
  case outOfRange(option: String, value: Int, allowed: ClosedRange<Int>)
  /// A size exceeds 64 bits.
  case tooLarge
}
