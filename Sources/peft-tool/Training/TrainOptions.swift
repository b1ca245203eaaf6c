import ArgumentParser
import Kernels
import Operations
import Training

/// What is trained.
struct MethodOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("The method, additions after a plus.", valueName: "M"))
  var method: String?

  @Option(
    name: .long,
    help: ArgumentHelp("The rank, or what the method has in its place.", valueName: "R"))
  var rank: Int?

  @Option(name: .long, help: ArgumentHelp("lora_alpha (default: the rank).", valueName: "A"))
  var alpha: Double?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The layers to adapt; by default PEFT's of the architecture.",
      valueName: "all-linear|a,b,c|REGEX"))
  var targets: String?

  @Option(name: .long, help: ArgumentHelp("Dropout before the adapters.", valueName: "P"))
  var dropout: Double?

  @Option(
    name: .customLong("init-adapter"),
    help: ArgumentHelp(
      "Start from this adapter; method and shapes come from it.", valueName: "DIR"))
  var initialAdapter: String?

  @Option(
    name: .long,
    help: ArgumentHelp("Go on from a checkpoint, to the same bits.", valueName: "DIR"))
  var resume: String?
}

/// How it is trained.
struct ScheduleOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Updates to make.", valueName: "N"))
  var steps: Int?

  @Option(name: .long, help: ArgumentHelp("Passes over the data (default: 1).", valueName: "X"))
  var epochs: Double?

  @Option(
    name: .customLong("batch-size"),
    help: ArgumentHelp("Examples of a batch (default: 8).", valueName: "N"))
  var batchSize: Int?

  @Option(
    name: .customLong("gradient-accumulation"),
    help: ArgumentHelp("Batches of a step (default: 1).", valueName: "N"))
  var accumulation: Int?

  @Option(
    name: .customLong("learning-rate"),
    help: ArgumentHelp("The highest rate (default: 0.0002).", valueName: "X"))
  var learningRate: Double?

  @Option(name: .long, help: "How the rate falls (default: linear).")
  var schedule: LearningRateSchedule.Course?

  @Option(
    name: .long, help: ArgumentHelp("Steps over which the rate rises.", valueName: "STEPS"))
  var warmup: Int?

  @Option(
    name: .customLong("weight-decay"),
    help: ArgumentHelp("Of every trained tensor (default: 0).", valueName: "X"))
  var weightDecay: Double?

  @Option(
    name: .customLong("max-grad-norm"),
    help: ArgumentHelp("Scale gradients down to this norm; 0: never (default: 1).", valueName: "X"))
  var maximumGradientNorm: Double?

  @Option(name: .long, help: "The optimiser (default: adamw).")
  var optimizer: TrainingRequest.OptimizerChoice?

  @Flag(
    name: .long,
    help: "Keep the optimiser's memory in a file beside OUT that the system pages in and out.")
  var paged = false

  @Option(name: .long, help: ArgumentHelp("Momentum of sgd (default: 0).", valueName: "X"))
  var momentum: Double?

  @Option(
    name: .customLong("lora-plus-ratio"),
    help: ArgumentHelp("LoRA+: B learns this much faster than A.", valueName: "X"))
  var loraPlusRatio: Double?

  @Option(
    name: .customLong("relora-every"),
    help: ArgumentHelp(
      "ReLoRA: freeze the factors after so many steps and begin new ones; the adapter has them all.",
      valueName: "STEPS"))
  var restartEvery: Int?

  @Option(name: .long, help: ArgumentHelp("Of new tensors, order and dropout.", valueName: "N"))
  var seed: UInt64?
}

/// On what, how long, and what is written meanwhile.
struct RunOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "JSON lines, or safetensors with input_ids, attention_mask, labels, pixel_values.",
      valueName: "FILE"))
  var data: String?

  @Option(
    name: .customLong("eval-data"), help: ArgumentHelp("Held-out examples.", valueName: "FILE"))
  var evaluationData: String?

  @Option(
    name: .customLong("eval-split"),
    help: ArgumentHelp("Share of the data to hold out.", valueName: "X"))
  var evaluationSplit: Double?

  @Option(name: .long, help: "What to train for; by default what config.json says.")
  var task: TransformerModel.Purpose?

  @Option(
    name: .long,
    help: """
      What a classifier of texts looks at: the first or last token, or the mean of all, a sentence \
      embedding. By default what the family's classifiers do.
      """)
  var pooling: ModelInput.Pooling?

  @Option(
    name: .customLong("sequence-length"),
    help: ArgumentHelp("Longest text in tokens (default: 512).", valueName: "N"))
  var sequenceLength: Int?

  @Flag(name: .long, help: "Put several texts into one row.")
  var pack = false

  @Flag(name: .customLong("no-shuffle"), help: "Take the examples in order.")
  var noShuffle = false

  @Option(
    name: .customLong("eval-every"),
    help: ArgumentHelp("Evaluate after so many steps; always at the end.", valueName: "N"))
  var evaluateEvery: Int?

  @Option(
    name: .customLong("early-stop"),
    help: ArgumentHelp(
      "End after so many evaluations without a lower loss, and keep the best adapter.",
      valueName: "N"))
  var patience: Int?

  @Option(
    name: .customLong("save-every"),
    help: ArgumentHelp(
      "Write a checkpoint to OUT.checkpoints after so many steps.", valueName: "N"))
  var saveEvery: Int?

  @Option(name: .long, help: "Compute in f32 or bf16 (default: f32).")
  var compute: ComputePrecision?

  @Option(name: .long, help: "Hold the frozen linear layers quantized in memory.")
  var quantize: QuantizationScheme.Kind?

  @Flag(
    name: .customLong("gradient-checkpointing"),
    help: "Compute each block twice instead of keeping what it makes.")
  var gradientCheckpointing = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Options from a YAML file with axolotl's keys; the command line wins.", valueName: "FILE"))
  var config: String?

  @Flag(name: .customLong("no-plot"), help: "Write no loss.svg.")
  var noPlot = false

  @Flag(name: .customLong("dry-run"), help: "Print what would be trained and the memory it takes.")
  var dryRun = false

  @Option(name: .long, help: "Threads; by default one per core. Never changes a byte.")
  var threads: Int?

  @Flag(name: .long, help: "Replace OUT if it exists.")
  var force = false
}

/// The value of `--compute`.
enum ComputePrecision: String, ExpressibleByArgument, CaseIterable {
  case f32, bf16

  var precision: MatrixPrecision { self == .f32 ? .f32 : .bf16 }
}

extension LearningRateSchedule.Course: ExpressibleByArgument {}
extension TrainingRequest.OptimizerChoice: ExpressibleByArgument {}
extension TransformerModel.Purpose: ExpressibleByArgument {}
extension ModelInput.Pooling: ExpressibleByArgument {}
