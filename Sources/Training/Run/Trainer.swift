import Kernels

/// Trains a model step by step. Holds all that changes from step to step, and nothing of files or clocks.
public final class Trainer {
  /// What a step did.
  public struct Step: Equatable, Sendable {
    /// From 1.
    public var number: Int
    /// The mean loss of the predictions, before the update.
    public var loss: Double
    public var learningRate: Double
    /// Before clipping.
    public var gradientNorm: Double
    /// Tokens that are not padding; images of an image classifier count by their patches.
    public var tokens: Int
  }

  public let adapted: AdaptedModel
  public let optimizer: any Optimizer
  public let schedule: LearningRateSchedule
  private let request: TrainingRequest
  /// nil without ReLoRA.
  let restarts: Restarts?
  private var source: BatchSource
  public private(set) var step = 0
  /// The loss of the first step, which later ones are held against.
  private var firstLoss: Double?

  /// A loss this many times the first one is taken for divergence.
  private static let explosion = 100.0

  init(
    _ adapted: AdaptedModel, optimizer: any Optimizer, schedule: LearningRateSchedule,
    source: BatchSource, request: TrainingRequest
  ) {
    self.adapted = adapted
    self.optimizer = optimizer
    self.schedule = schedule
    self.source = source
    self.request = request
    restarts = request.restartInterval.map {
      Restarts(adapted: adapted, interval: $0, seed: request.seed)
    }
  }

  var isDone: Bool { step >= schedule.total }
  var position: BatchSource.Position { source.position }

  /// Goes on behind `step`.
  func resume(step: Int, firstLoss: Double?, source: BatchSource) {
    self.step = step
    self.firstLoss = firstLoss
    self.source = source
  }

  /// One update of the parameters.
  public func next() throws -> Step {
    let model = adapted.model
    let parameters = adapted.parameters
    let batches = try source.next(request.accumulation)
    guard !batches.isEmpty else { throw ModelError.noTargets }
    let inputs = try batches.map(model.input)
    let count = inputs.reduce(0) { $0 + $1.targetCount }

    parameters.clearGradients()
    var sum = 0.0
    for (part, input) in inputs.enumerated() {
      if request.dropout > 0 {
        model.context.dropout = LayerContext.Dropout(
          probability: request.dropout, seed: dropoutSeed(part: part))
      }
      sum += model.loss(input, factor: 1 / Float(count))
    }
    model.context.dropout = nil

    let pool = model.context.pool
    let gradients = parameters.gradients.values
    let norm =
      request.maximumGradientNorm > 0
      ? GradientNorm.clip(gradients, to: request.maximumGradientNorm, pool: pool)
      : GradientNorm.norm(of: gradients, pool: pool)
    let loss = sum / Double(count)
    let first = firstLoss ?? loss
    guard loss.isFinite, norm.isFinite, loss <= Self.explosion * max(first, 1) else {
      throw TrainingError.diverged(step: step + 1, loss: loss, tensor: worstEntry())
    }
    firstLoss = first
    let rate = request.learningRate * factor
    optimizer.step(parameters, learningRate: rate, pool: pool)
    step += 1
    // The last round is not followed by an empty one.
    if let restarts, step % restarts.interval == 0, !isDone {
      try restarts.restart(after: step)
      optimizer.reset()
    }
    adapted.parametersChanged()
    return Step(
      number: step, loss: loss, learningRate: rate, gradientNorm: norm,
      tokens: inputs.reduce(0) { $0 + $1.layout.tokens })
  }

  /// The schedule's factor; with ReLoRA the rate rises again at the start of each round.
  private var factor: Double {
    let factor = schedule.factor(step: step)
    guard let restarts, step >= restarts.interval else { return factor }
    let steps = step % restarts.interval
    let rise = max(schedule.warmup, 1)
    return factor * min(1, Double(steps + 1) / Double(rise + 1))
  }

  var lossToCompare: Double? { firstLoss }

  /// Another one for each batch of each step.
  private func dropoutSeed(part: Int) -> UInt64 {
    var generator = SplitMix64(
      seed: request.seed &+ UInt64(step) &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(part) << 48)
    return generator.next()
  }

  /// The tensor whose gradient is no number, or the largest.
  private func worstEntry() -> String {
    let gradients = adapted.parameters.gradients.values
    var worst = (name: "", size: -1.0)
    for entry in adapted.parameters.entries {
      let values = gradients[entry.range]
      if !values.allSatisfy(\.isFinite) { return entry.name }
      let size = values.reduce(0.0) { max($0, abs(Double($1))) }
      if size > worst.size { worst = (entry.name, size) }
    }
    return worst.name
  }
}
