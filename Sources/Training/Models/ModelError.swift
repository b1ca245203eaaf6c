import Adapters
import Kernels
import Safetensors

/// Why a model cannot be built from a folder, or cannot take a batch.
public enum ModelError: Error, Equatable, Sendable {
  /// The folder has no `config.json`.
  case missingConfiguration(path: String)
  /// No model of this `model_type` can be trained.
  case unsupportedModel(type: String?)
  /// A setting of `config.json` is missing or cannot be used.
  case setting(name: String, reason: String)
  /// A tensor that the model needs is not there.
  case missingTensor(name: String)
  case shape(tensor: String, found: [Int], expected: [Int])
  /// A tensor is stored in a type that cannot be computed with.
  case elementType(tensor: String, type: DType)
  /// The file of a tensor could not be read.
  case reading(SafetensorsError)
  /// A quantized weight of the checkpoint is not sound.
  case quantized(QuantizedProblem)
  /// The checkpoint is to be quantized, and is already.
  case alreadyQuantized(path: String)
  /// A weight cannot be quantized: it has an infinity or NaN.
  case quantization(tensor: String, QuantizationError)
  /// A token that the vocabulary does not have.
  case token(id: Int, vocabulary: Int)
  /// A sequence is longer than the model's table of positions.
  case length(Int, most: Int)
  /// Images of another size than the model's.
  case image(shape: [Int], expected: [Int])
  /// A batch has no example that the loss could be computed on.
  case noTargets
  /// A label that the model has no output for.
  case label(Int, classes: Int)
  /// The batch lacks what the model reads: `input_ids`, `pixel_values`, `labels`.
  case missingInput(String)
}
