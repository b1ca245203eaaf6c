import CKernels

/// Stochastic gradient descent, with momentum where it is not 0 (Sutskever et al. 2013, as PyTorch has it),
/// and decay apart from the gradient.
public final class SGD: Optimizer {
  public let groups: [StepGroup]
  public let momentum: Double
  public private(set) var steps = 0
  /// Empty without momentum.
  private let velocity: ScalarBuffer<Float>
  private let count: Int

  public init(count: Int, groups: [StepGroup], momentum: Double = 0) {
    self.groups = groups
    self.momentum = momentum
    self.count = count
    velocity = ScalarBuffer(count: momentum == 0 ? 0 : count)
  }

  public func step(
    _ parameters: TrainableParameters<Float>, learningRate: Double, pool: ThreadPool
  ) {
    precondition(parameters.values.count == count)
    steps += 1
    guard let values = parameters.values.values.baseAddress,
      let gradients = parameters.gradients.values.baseAddress
    else { return }
    let velocity = momentum == 0 ? nil : velocity.values.baseAddress
    for group in groups {
      let rate = learningRate * group.rate
      pool.split(group.range.count, least: 1 << 13) { part in
        let at = group.range.lowerBound + part.lowerBound
        ck_layer().pointee.sgd(
          Float(rate), Float(momentum), Float(1 - rate * group.weightDecay), part.count,
          gradients + at, values + at, velocity.map { $0 + at })
      }
    }
  }

  public var state: OptimizerState {
    OptimizerState(steps: steps, values: ["momentum_buffer": .real(Array(velocity.values))])
  }

  public func restore(_ state: OptimizerState) throws(OptimizerError) {
    let velocity = try state.reals("momentum_buffer", count: self.velocity.count)
    _ = self.velocity.values.update(fromContentsOf: velocity)
    steps = state.steps
  }

  public func reset() {
    steps = 0
    velocity.values.update(repeating: 0)
  }
}
