/// Why a training run cannot start or go on.
public enum TrainingError: Error, Equatable, Sendable {
  /// The base is not a folder with `config.json`.
  case notAModel(path: String)
  /// The method has no training here.
  case notTrainable(method: String)
  /// The method's modules are no part of this model: an embedding, a convolution.
  case noLayer(module: String, method: String)
  /// Nothing would be trained.
  case nothingToTrain
  /// A share that leaves no example to train or to evaluate on.
  case split(examples: Int, share: Double)
  /// Images come as numbers in safetensors, not as JSON lines.
  case imagesNeedTensors(path: String)
  /// ReLoRA with what it cannot be combined with.
  case restart(with: String)
  /// Early stopping and evaluation at intervals need examples to evaluate on.
  case noEvaluationData(option: String)
  /// The loss is no number, or far above the first one.
  case diverged(step: Int, loss: Double, tensor: String)
  /// A checkpoint lacks a part or is damaged.
  case checkpoint(path: String, reason: String)
  /// A checkpoint of a run with another value of an option.
  case otherRun(path: String, option: String, stored: String, given: String)
}
