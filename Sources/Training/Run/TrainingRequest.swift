import Kernels
import Operations

/// What to train, on what, and how.
public struct TrainingRequest: Sendable {
  public enum OptimizerChoice: String, Sendable, CaseIterable {
    case adamw, adamw8bit, sgd
  }

  /// How long to train.
  public enum Length: Equatable, Sendable {
    case steps(Int)
    case epochs(Double)
  }

  /// The folder of the base model.
  public var base: String
  /// The folder that receives the adapter.
  public var output: String
  public var data: String
  public var evaluationData: String?
  /// Share of the data that is held out for evaluation; 0 for none.
  public var evaluationSplit = 0.0
  /// Nil: what `config.json` says.
  public var purpose: TransformerModel.Purpose?
  /// What a classifier of texts looks at; nil: what the family's classifiers do.
  public var pooling: ModelInput.Pooling?

  /// A name of the command line, additions after a plus.
  public var method = "lora"
  /// Nil: the method's default.
  public var rank: Int?
  /// Nil: the rank, so that the scale is 1.
  public var alpha: Double?
  /// Nil: the architecture's default.
  public var targets: TargetSelection?
  public var dropout = 0.0
  /// Further hyper-parameters by their names in `adapter_config.json`.
  public var settings: [String: Setting] = [:]
  /// An adapter to go on from; method, shapes and targets come from it.
  public var initialAdapter: String?
  /// A checkpoint of this run to go on from.
  public var checkpoint: String?

  public var length = Length.epochs(1)
  public var batchSize = 8
  /// Batches whose gradients make one step.
  public var accumulation = 1
  public var learningRate = 2e-4
  public var schedule = LearningRateSchedule.Course.linear
  public var warmup = 0
  public var weightDecay = 0.0
  /// Gradients are scaled down to this norm; 0: never.
  public var maximumGradientNorm = 1.0
  public var optimizer = OptimizerChoice.adamw
  /// Keep the optimiser's memory in a file that the system pages in and out.
  public var pagesState = false
  /// Of SGD.
  public var momentum = 0.0
  /// How much faster B learns than A.
  public var loraPlusRatio = 1.0

  /// ReLoRA: steps after which the factors are frozen and new ones begin; nil: never.
  public var restartInterval: Int?

  public var precision = MatrixPrecision.f32
  /// How the frozen linear layers are held; nil: as they are stored.
  public var quantization: QuantizationScheme?
  public var recomputesBlocks = false
  /// Nil: 512, or as much as the model takes.
  public var sequenceLength: Int?
  public var packs = false
  public var shuffles = true
  public var seed: UInt64 = 0
  public var threads = 1

  /// Steps between evaluations; nil: at the end only.
  public var evaluationInterval: Int?
  /// Evaluations without a better loss after which training ends; nil: never.
  public var patience: Int?
  /// Steps between checkpoints; nil: none.
  public var saveInterval: Int?
  /// Draw the loss as SVG beside the adapter.
  public var plots = true
  public var replacing = false

  public init(base: String, data: String, output: String) {
    self.base = base
    self.data = data
    self.output = output
  }

  /// The longest text where nothing is said.
  static let defaultLength = 512
}
