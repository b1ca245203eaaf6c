/// Changes parameters by their gradients.
///
/// The result does not depend on the number of threads.
public protocol Optimizer: AnyObject {
  var groups: [StepGroup] { get }
  /// Steps taken so far.
  var steps: Int { get }

  /// One step with the gradients as they are.
  ///
  /// - Parameter learningRate: the schedule's; each group has its factor.
  func step(
    _ parameters: TrainableParameters<Float>, learningRate: Double, pool: ThreadPool)

  /// What a later run needs to go on from here, by name. Numbers are as they are in memory.
  var state: OptimizerState { get }
  /// Goes on from `state`.
  func restore(_ state: OptimizerState) throws(OptimizerError)
  /// Forgets everything, as after a restart of ReLoRA.
  func reset()
}

/// What an optimiser remembers.
public struct OptimizerState: Equatable, Sendable {
  public enum Values: Equatable, Sendable {
    case real([Float])
    case bytes([UInt8])
  }

  public var steps: Int
  public var values: [String: Values]

  public init(steps: Int, values: [String: Values]) {
    (self.steps, self.values) = (steps, values)
  }
}

public enum OptimizerError: Error, Equatable, Sendable {
  /// A state of another optimiser, or of other parameters.
  case state(name: String)
  /// A file for the state cannot be made in `folder`: the system's error.
  case paging(folder: String, errno: Int32)
}

extension OptimizerState {
  func reals(_ name: String, count: Int) throws(OptimizerError) -> [Float] {
    guard case .real(let values)? = values[name], values.count == count else {
      throw .state(name: name)
    }
    return values
  }

  func bytes(_ name: String, count: Int) throws(OptimizerError) -> [UInt8] {
    guard case .bytes(let values)? = values[name], values.count == count else {
      throw .state(name: name)
    }
    return values
  }
}

extension TrainableParameters where Scalar == Float {
  public func clearGradients() { gradients.values.update(repeating: 0) }
}
