import CKernels

/// AdamW in f32, operation for operation as PyTorch's (Loshchilov and Hutter 2019, algorithm 2).
public final class AdamW: Optimizer {
  public struct Settings: Equatable, Sendable {
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double

    public init(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8) {
      (self.beta1, self.beta2, self.epsilon) = (beta1, beta2, epsilon)
    }

    /// The kernel's numbers for step `step`, which counts from 1.
    func kernel(learningRate: Double, weightDecay: Double, step: Int) -> ck_adamw {
      let root = (1 - power(beta2, step)).squareRoot()
      return ck_adamw(
        keep: Float(1 - learningRate * weightDecay), rest1: Float(1 - beta1), beta2: Float(beta2),
        rest2: Float(1 - beta2), step_size: Float(learningRate / (1 - power(beta1, step))),
        root: Float(root), epsilon: Float(epsilon))
    }

    /// xⁿ by squaring: a few roundings, the same everywhere.
    private func power(_ x: Double, _ n: Int) -> Double {
      var (result, square, rest) = (1.0, x, n)
      while rest > 0 {
        if rest & 1 == 1 { result *= square }
        square *= square
        rest >>= 1
      }
      return result
    }
  }

  public let groups: [StepGroup]
  public let settings: Settings
  public private(set) var steps = 0
  private let first: ScalarBuffer<Float>
  private let second: ScalarBuffer<Float>

  public init(count: Int, groups: [StepGroup], settings: Settings = Settings()) {
    self.groups = groups
    self.settings = settings
    first = ScalarBuffer(count: count)
    second = ScalarBuffer(count: count)
  }

  public func step(
    _ parameters: TrainableParameters<Float>, learningRate: Double, pool: ThreadPool
  ) {
    precondition(parameters.values.count == first.count)
    steps += 1
    guard let values = parameters.values.values.baseAddress,
      let gradients = parameters.gradients.values.baseAddress,
      let first = first.values.baseAddress, let second = second.values.baseAddress
    else { return }
    for group in groups {
      let numbers = settings.kernel(
        learningRate: learningRate * group.rate, weightDecay: group.weightDecay, step: steps)
      pool.split(group.range.count, least: 1 << 13) { part in
        let at = group.range.lowerBound + part.lowerBound
        withUnsafePointer(to: numbers) {
          ck_layer().pointee.adamw(
            $0, part.count, gradients + at, values + at, first + at, second + at)
        }
      }
    }
  }

  public var state: OptimizerState {
    OptimizerState(
      steps: steps,
      values: ["exp_avg": .real(Array(first.values)), "exp_avg_sq": .real(Array(second.values))])
  }

  public func restore(_ state: OptimizerState) throws(OptimizerError) {
    let first = try state.reals("exp_avg", count: self.first.count)
    let second = try state.reals("exp_avg_sq", count: self.second.count)
    _ = self.first.values.update(fromContentsOf: first)
    _ = self.second.values.update(fromContentsOf: second)
    steps = state.steps
  }

  public func reset() {
    steps = 0
    first.values.update(repeating: 0)
    second.values.update(repeating: 0)
  }
}
