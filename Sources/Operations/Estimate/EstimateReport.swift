import Safetensors

/// What training a method on a base would take.
public struct EstimateReport: Sendable, Equatable {
  /// As on the command line: `1lora+norms`.
  public var method: String
  /// Adapted layers, in the order of the model.
  public var modules: [String]
  public var trainableParameters: Int
  /// Parameters of base and adapter; with full fine-tuning those of the base.
  public var allParameters: Int
  public var memory: MemoryEstimate
  /// Tokens of a sample and samples of a step that `memory` is for.
  public var sequenceLength: Int
  public var batchSize: Int
  /// Tokens of a step, at most.
  public var tokens: Int

  /// Trained parameters in per cent of all; 0 for a model without any.
  public var trainablePercent: Double {
    allParameters > 0 ? 100 * Double(trainableParameters) / Double(allParameters) : 0
  }

  /// The report as `estimate --json` prints it.
  public var json: JSONValue {
    [
      "method": .string(method),
      "trainable_parameters": .int(trainableParameters),
      "all_parameters": .int(allParameters),
      "trainable_percent": .double(trainablePercent),
      "modules": .int(modules.count),
      "sequence_length": .int(sequenceLength),
      "batch_size": .int(batchSize),
      "tokens": .int(tokens),
      "memory": [
        "weights": .int(memory.weights),
        "quantization_constants": .int(memory.quantizationConstants),
        "adapter": .int(memory.adapter),
        "gradients": .int(memory.gradients),
        "optimizer": .int(memory.optimizer),
        "activations": .int(memory.activations),
        "total": .int(memory.total),
      ],
    ]
  }
}
