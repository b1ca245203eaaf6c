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
        root: Float(root), epsilon: Float(epsilon), beta1: Float(beta1))
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
  private let memory: StateMemory
  private let first: Row<Float>
  private let second: Row<Float>

  /// - Parameter folder: where the state is paged to; nil: it stays in memory. The results are the same.
  public init(
    count: Int, groups: [StepGroup], settings: Settings = Settings(), paging folder: String? = nil
  ) throws(OptimizerError) {
    self.groups = groups
    self.settings = settings
    memory = try StateMemory(
      bytes: 2 * StateMemory.size(of: count, Float.self), paging: folder)
    first = memory.section(of: count, Float.self)
    second = memory.section(of: count, Float.self)
  }

  public func step(
    _ parameters: TrainableParameters<Float>, learningRate: Double, pool: ThreadPool
  ) {
    precondition(parameters.values.count == first.count)
    steps += 1
    guard let values = parameters.values.values.baseAddress,
      let gradients = parameters.gradients.values.baseAddress,
      let first = first.baseAddress, let second = second.baseAddress
    else { return }
    for group in groups {
      let numbers = settings.kernel(
        learningRate: learningRate * group.rate, weightDecay: group.weightDecay, step: steps)
      for window in memory.windows(of: group.range) {
        pool.split(window.count, least: 1 << 13) { part in
          let at = window.lowerBound + part.lowerBound
          withUnsafePointer(to: numbers) {
            ck_layer().pointee.adamw(
              $0, part.count, gradients + at, values + at, first + at, second + at)
          }
        }
        memory.release()
      }
    }
  }

  public var state: OptimizerState {
    OptimizerState(
      steps: steps,
      values: ["exp_avg": .real(Array(first)), "exp_avg_sq": .real(Array(second))])
  }

  public func restore(_ state: OptimizerState) throws(OptimizerError) {
    let first = try state.reals("exp_avg", count: self.first.count)
    let second = try state.reals("exp_avg_sq", count: self.second.count)
    _ = self.first.update(fromContentsOf: first)
    _ = self.second.update(fromContentsOf: second)
    steps = state.steps
  }

  public func reset() {
    steps = 0
    memory.clear()
  }
}
