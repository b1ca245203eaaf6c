import Adapters
import CKernels
import Kernels
import Operations
import Safetensors

import class Foundation.FileManager

/// A training run from a base model and data to an adapter on disk.
public final class TrainingRun {
  /// What the caller makes of a step.
  public enum Decision: Sendable {
    case goOn
    /// Write a checkpoint and end.
    case interrupt
  }

  public struct Outcome: Sendable {
    public var steps: Int
    public var evaluation: Evaluation?
    /// Training ended before its last step because the evaluations no longer became better.
    public var stoppedEarly: Bool
    /// The checkpoint of an interrupted run; the adapter was not written.
    public var interruption: String?
  }

  public let request: TrainingRequest
  public let adapted: AdaptedModel
  public let totalSteps: Int
  private let data: TrainingData
  private let trainer: Trainer
  private let output: AtomicOutput
  private let start: AdapterFile
  private var log = TrainingLog()
  private var best: (loss: Double, parameters: [Float])?
  private var evaluationsSinceBest = 0

  /// Steps that are done: 0, or those of the checkpoint.
  public var step: Int { trainer.step }
  public var trainableParameters: Int { adapted.parameters.values.count }
  public var allParameters: Int { adapted.model.parameterCount + trainableParameters }

  /// Reads model, data and, where there is one, the checkpoint; makes the new adapter.
  public init(_ request: TrainingRequest) throws {
    self.request = request
    guard FileSystem.isReachable(request.base) else {
      throw EstimateError.notFound(path: request.base)
    }
    guard FileSystem.isFolder(request.base) else {
      throw TrainingError.notAModel(path: request.base)
    }
    ck_return_freed_blocks()
    output = try AtomicOutput(.folder, at: request.output, replacing: request.replacing)
    do {
      let context = LayerContext(
        pool: ThreadPool(count: request.threads), precision: request.precision)
      let (base, labels) = try request.openBase()
      let model = try TransformerModel.load(
        base, purpose: request.purpose, pooling: request.pooling,
        quantization: request.quantization, context: context,
        seed: request.seed)
      model.recomputesBlocks = request.recomputesBlocks
      data = try TrainingData(
        request, purpose: TransformerModel.purpose(of: base, stated: request.purpose),
        longest: model.longest, labels: labels)
      if data.evaluation == nil {
        if request.patience != nil { throw TrainingError.noEvaluationData(option: "patience") }
        if request.evaluationInterval != nil {
          throw TrainingError.noEvaluationData(option: "eval-every")
        }
      }

      let begin = FileSystem.join(output.temporaryPath, "start")
      if request.checkpoint == nil, request.initialAdapter == nil {
        try NewAdapter(model, request: request).write(to: begin)
      }
      start = try AdapterFile(
        path: request.checkpoint.map(Self.start(of:)) ?? request.initialAdapter ?? begin)
      if request.restartInterval != nil { try Self.checkRestarts(request, start) }
      adapted = try AdaptedModel(
        model, adapter: AdapterContents(start).bind(to: QuantizedModel(base).unpacked),
        restarts: request.restartInterval != nil)
      guard adapted.parameters.values.count > 0 else { throw TrainingError.nothingToTrain }

      totalSteps = try Self.steps(request, data.training)
      let optimizer = try Self.optimizer(request, adapted.parameters)
      trainer = Trainer(
        adapted, optimizer: optimizer,
        schedule: LearningRateSchedule(
          request.schedule, warmup: request.warmup, total: totalSteps),
        source: try BatchSource(data.training), request: request)
      if let checkpoint = request.checkpoint { try resume(checkpoint) }
    } catch {
      output.discard()
      throw error
    }
  }

  /// The name of the adapter that a run goes on from, in a checkpoint whose own has the factors of several rounds.
  private static let roundName = "round"

  private static func start(of checkpoint: String) -> String {
    let round = FileSystem.join(checkpoint, roundName)
    return FileSystem.isFolder(round) ? round : checkpoint
  }

  private static func checkRestarts(_ request: TrainingRequest, _ start: AdapterFile) throws {
    if request.dropout > 0 { throw TrainingError.restart(with: "--dropout") }
    if request.patience != nil { throw TrainingError.restart(with: "--early-stop") }
    for pattern in ["rank_pattern", "alpha_pattern"] {
      if !(start.config.json[pattern]?.object?.entries.isEmpty ?? true) {
        throw TrainingError.restart(with: pattern)
      }
    }
  }

  private static func steps(_ request: TrainingRequest, _ loader: BatchLoader) throws -> Int {
    switch request.length {
    case .steps(let steps): return steps
    case .epochs(let epochs):
      let batches = try loader.batchCount(epoch: 0)
      let perEpoch = (batches + request.accumulation - 1) / request.accumulation
      return max(1, Int((epochs * Double(perEpoch)).rounded(.up)))
    }
  }

  private static func optimizer(
    _ request: TrainingRequest, _ parameters: TrainableParameters<Float>
  ) throws -> any Optimizer {
    let groups = StepGroup.groups(
      of: parameters, weightDecay: request.weightDecay, loraPlusRatio: request.loraPlusRatio)
    let count = parameters.values.count
    let folder = request.pagesState ? FileSystem.parent(of: request.output) : nil
    return switch request.optimizer {
    case .adamw: try AdamW(count: count, groups: groups, paging: folder)
    case .adamw8bit: try AdamW8bit(parameters, groups: groups, paging: folder)
    case .sgd: SGD(count: count, groups: groups, momentum: request.momentum)
    }
  }

  // MARK: The run

  /// Trains to the end, or until `observe` says so.
  public func run(
    _ observe: (Trainer.Step, Evaluation?) throws -> Decision
  ) throws -> Outcome {
    do {
      return try train(observe)
    } catch {
      output.discard()
      throw error
    }
  }

  private func train(
    _ observe: (Trainer.Step, Evaluation?) throws -> Decision
  ) throws -> Outcome {
    var stoppedEarly = false
    var last = log.entries.last?.evaluation
    while !trainer.isDone, !stoppedEarly {
      let step = try trainer.next()
      var evaluation: Evaluation?
      if let held = data.evaluation, isEvaluated(step.number) {
        evaluation = try Evaluation(of: adapted.model, on: held)
        last = evaluation
        stoppedEarly = judge(evaluation)
      }
      log.add(step, evaluation)
      let decision = try observe(step, evaluation)
      if decision == .interrupt, !trainer.isDone {
        let path = try writeCheckpoint()
        output.discard()
        return Outcome(
          steps: step.number, evaluation: last, stoppedEarly: false, interruption: path)
      }
      if let interval = request.saveInterval, step.number % interval == 0 {
        _ = try writeCheckpoint()
      }
    }
    try TrainedAdapter(start: start, adapted: adapted, restarts: trainer.restarts).write(
      into: output.temporaryPath, values: request.patience == nil ? nil : best?.parameters)
    try? FileManager.default.removeItem(
      atPath: FileSystem.join(output.temporaryPath, "start"))
    try log.write(into: output.temporaryPath)
    if request.plots { try LossChart(log).write(into: output.temporaryPath) }
    try output.commit()
    return Outcome(
      steps: trainer.step, evaluation: last, stoppedEarly: stoppedEarly, interruption: nil)
  }

  private func isEvaluated(_ step: Int) -> Bool {
    step == totalSteps || request.evaluationInterval.map { step % $0 == 0 } ?? false
  }

  /// Keeps the best parameters; returns whether there were too many evaluations without a better one.
  private func judge(_ evaluation: Evaluation?) -> Bool {
    guard let patience = request.patience, let evaluation else { return false }
    if best.map({ evaluation.loss < $0.loss }) ?? true {
      best = (evaluation.loss, Array(adapted.parameters.values.values))
      evaluationsSinceBest = 0
      return false
    }
    evaluationsSinceBest += 1
    return evaluationsSinceBest >= patience
  }

  // MARK: Checkpoints

  /// The folder beside the output that checkpoints go to.
  public static func checkpointFolder(of output: String) -> String {
    (output.hasSuffix("/") ? String(output.dropLast()) : output) + ".checkpoints"
  }

  /// Writes the state after the last step; returns the path.
  private func writeCheckpoint() throws -> String {
    let folder = Self.checkpointFolder(of: request.output)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let path = FileSystem.join(folder, "step-\(trainer.step)")
    let checkpoint = try AtomicOutput(.folder, at: path, replacing: true)
    do {
      try TrainedAdapter(start: start, adapted: adapted, restarts: trainer.restarts)
        .write(into: checkpoint.temporaryPath)
      if trainer.restarts != nil {
        let round = FileSystem.join(checkpoint.temporaryPath, Self.roundName)
        try FileManager.default.createDirectory(
          atPath: round, withIntermediateDirectories: false)
        try TrainedAdapter(start: start, adapted: adapted).write(into: round)
      }
      try log.write(into: checkpoint.temporaryPath)
      try TrainingCheckpoint(
        step: trainer.step, position: trainer.position, firstLoss: trainer.lossToCompare,
        options: request.numericOptions(totalSteps: totalSteps),
        parameters: Array(adapted.parameters.values.values), optimizer: trainer.optimizer.state,
        best: best, evaluationsSinceBest: evaluationsSinceBest,
        past: trainer.restarts?.state ?? [:]
      ).write(into: checkpoint.temporaryPath)
      try checkpoint.commit()
    } catch {
      checkpoint.discard()
      throw error
    }
    return path
  }

  private func resume(_ path: String) throws {
    let checkpoint = try TrainingCheckpoint(folder: path)
    let given = request.numericOptions(totalSteps: totalSteps)
    for (option, value) in given.sorted(by: { $0.key < $1.key }) {
      let stored = checkpoint.options[option] ?? "none"
      guard stored == value else {
        throw TrainingError.otherRun(path: path, option: option, stored: stored, given: value)
      }
    }
    let values = adapted.parameters.values.values
    guard checkpoint.parameters.count == values.count else {
      throw TrainingError.checkpoint(path: path, reason: "it is of other parameters")
    }
    _ = values.update(fromContentsOf: checkpoint.parameters)
    trainer.restarts?.restore(checkpoint.past)
    adapted.parametersChanged()
    try trainer.optimizer.restore(checkpoint.optimizer)
    trainer.resume(
      step: checkpoint.step, firstLoss: checkpoint.firstLoss,
      source: try BatchSource(data.training, at: checkpoint.position))
    (best, evaluationsSinceBest) = (checkpoint.best, checkpoint.evaluationsSinceBest)
    log = try TrainingLog(path: FileSystem.join(path, TrainingLog.fileName))
  }
}

extension TrainingRequest {
  /// What decides the numbers of a run, by the names of the command line's options.
  func numericOptions(totalSteps: Int) -> [String: String] {
    [
      "steps": String(totalSteps), "batch-size": String(batchSize),
      "gradient-accumulation": String(accumulation), "learning-rate": String(learningRate),
      "schedule": schedule.rawValue, "warmup": String(warmup),
      "weight-decay": String(weightDecay), "max-grad-norm": String(maximumGradientNorm),
      "optimizer": optimizer.rawValue, "momentum": String(momentum),
      "lora-plus-ratio": String(loraPlusRatio), "dropout": String(dropout),
      "seed": String(seed), "compute": precision == .f32 ? "f32" : "bf16",
      "sequence-length": sequenceLength.map { String($0) } ?? "default",
      "pack": String(packs), "shuffle": String(shuffles),
      "eval-split": String(evaluationSplit),
      "pooling": pooling?.rawValue ?? "default",
      "relora-every": restartInterval.map { String($0) } ?? "none",
      "quantize": quantization?.kind.rawValue ?? "none",
    ]
  }
}
