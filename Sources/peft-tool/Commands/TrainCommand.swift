import ArgumentParser
import Kernels
import Operations
import Safetensors
import Training

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train an adapter on a model and data.",
    usage: "peft-tool train BASE OUT --data FILE [<options>]",
    discussion: """
      BASE is a Hugging Face folder of LLaMA, Mistral, Qwen2, Qwen3, GPT-2, BERT or ViT; OUT \
      becomes a PEFT folder with the adapter, training_log.jsonl and loss.svg. A line of DATA has \
      text, prompt and completion, messages, or text and label. With --config BASE and OUT can \
      come from the file. Ctrl-C writes a checkpoint and ends.

      Example: peft-tool train llama my-lora --data chats.jsonl --method lora --rank 16 --epochs 2
      """)

  @Argument(help: ArgumentHelp("The base model.", valueName: "BASE"))
  var base: String?

  @Argument(help: ArgumentHelp("The output.", valueName: "OUT"))
  var out: String?

  @OptionGroup var options: RunOptions
  @OptionGroup var method: MethodOptions
  @OptionGroup var schedule: ScheduleOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if options.config == nil {
      guard base != nil, out != nil else { throw ValidationError("BASE and OUT are missing.") }
      guard options.data != nil else { throw ValidationError("--data is missing.") }
    }
    if schedule.steps != nil, schedule.epochs != nil {
      throw ValidationError("--steps and --epochs exclude each other.")
    }
    if method.resume != nil, method.initialAdapter != nil {
      throw ValidationError("--resume and --init-adapter exclude each other.")
    }
    if options.evaluationData != nil, options.evaluationSplit != nil {
      throw ValidationError("--eval-data and --eval-split exclude each other.")
    }
    let counts: [(String, Int?)] = [
      ("steps", schedule.steps), ("batch-size", schedule.batchSize),
      ("gradient-accumulation", schedule.accumulation), ("rank", method.rank),
      ("sequence-length", options.sequenceLength), ("eval-every", options.evaluateEvery),
      ("early-stop", options.patience), ("save-every", options.saveEvery),
      ("threads", options.threads),
    ]
    for (name, value) in counts where value.map({ $0 < 1 }) ?? false {
      throw ValidationError("--\(name) must be 1 or more.")
    }
    let sizes: [(String, Double?)] = [
      ("epochs", schedule.epochs), ("learning-rate", schedule.learningRate),
      ("lora-plus-ratio", schedule.loraPlusRatio),
    ]
    for (name, value) in sizes where value.map({ !($0 > 0 && $0.isFinite) }) ?? false {
      throw ValidationError("--\(name) must be above 0.")
    }
    let parts: [(String, Double?)] = [
      ("dropout", method.dropout), ("eval-split", options.evaluationSplit),
      ("momentum", schedule.momentum),
    ]
    for (name, value) in parts where value.map({ !($0 >= 0 && $0 < 1) }) ?? false {
      throw ValidationError("--\(name) must be at least 0 and below 1.")
    }
    let amounts: [(String, Double?)] = [
      ("weight-decay", schedule.weightDecay), ("max-grad-norm", schedule.maximumGradientNorm),
      ("warmup", schedule.warmup.map(Double.init)),
    ]
    for (name, value) in amounts where value.map({ !($0 >= 0 && $0.isFinite) }) ?? false {
      throw ValidationError("--\(name) must be 0 or more.")
    }
  }

  func run() throws {
    let request = try request()
    if options.dryRun {
      try TrainRendering.showPlan(of: request, output)
      return
    }
    let training = try TrainingRun(request)
    let rendering = TrainRendering(training, output: output)
    Interruption.beginGraceful()
    rendering.start()
    let outcome = try training.run { step, evaluation in
      rendering.show(step, evaluation)
      return Interruption.isRequested ? .interrupt : .goOn
    }
    rendering.finish(outcome)
    if outcome.interruption != nil { throw ExitCode(Interruption.exitStatus) }
  }

  /// The request of the command line over that of the file.
  private func request() throws -> TrainingRequest {
    let file = try options.config.map(TrainingFile.init(path:))
    guard let base = base ?? file?.base else {
      throw ValidationError("BASE is missing, and the file has no base_model.")
    }
    guard let out = out ?? file?.output else {
      throw ValidationError("OUT is missing, and the file has no output_dir.")
    }
    guard let data = options.data ?? file?.data else {
      throw ValidationError("--data is missing, and the file has no datasets.")
    }
    var request = TrainingRequest(base: base, data: data, output: out)
    try file?.apply(to: &request)
    if let path = options.evaluationData { request.evaluationData = path }
    if let share = options.evaluationSplit { request.evaluationSplit = share }
    if let task = options.task { request.purpose = task }
    if let pooling = options.pooling { request.pooling = pooling }
    if let name = method.method { request.method = name }
    if let rank = method.rank { request.rank = rank }
    if let alpha = method.alpha { request.alpha = alpha }
    if let targets = method.targets { request.targets = try TargetSelection(argument: targets) }
    if let dropout = method.dropout { request.dropout = dropout }
    if let path = method.initialAdapter { request.initialAdapter = path }
    if let path = method.resume { request.checkpoint = path }
    if let steps = schedule.steps { request.length = .steps(steps) }
    if let epochs = schedule.epochs { request.length = .epochs(epochs) }
    if let size = schedule.batchSize { request.batchSize = size }
    if let count = schedule.accumulation { request.accumulation = count }
    if let rate = schedule.learningRate { request.learningRate = rate }
    if let course = schedule.schedule { request.schedule = course }
    if let steps = schedule.warmup { request.warmup = steps }
    if let decay = schedule.weightDecay { request.weightDecay = decay }
    if let norm = schedule.maximumGradientNorm { request.maximumGradientNorm = norm }
    if let optimizer = schedule.optimizer { request.optimizer = optimizer }
    if let momentum = schedule.momentum { request.momentum = momentum }
    if let ratio = schedule.loraPlusRatio { request.loraPlusRatio = ratio }
    if let interval = schedule.restartEvery { request.restartInterval = interval }
    if let seed = schedule.seed { request.seed = seed }
    if let length = options.sequenceLength { request.sequenceLength = length }
    if options.pack { request.packs = true }
    if options.noShuffle { request.shuffles = false }
    if let interval = options.evaluateEvery { request.evaluationInterval = interval }
    if let patience = options.patience { request.patience = patience }
    if let interval = options.saveEvery { request.saveInterval = interval }
    if let compute = options.compute { request.precision = compute.precision }
    if let kind = options.quantize { request.quantization = try QuantizationScheme(kind) }
    if schedule.paged { request.pagesState = true }
    if options.gradientCheckpointing { request.recomputesBlocks = true }
    if options.noPlot { request.plots = false }
    request.threads = options.threads ?? ProcessMemory.coreCount
    request.replacing = options.force
    return request
  }
}
