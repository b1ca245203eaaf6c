/// How the learning rate changes from step to step: a rise over the warm-up, then the course.
public struct LearningRateSchedule: Equatable, Sendable {
  public enum Course: String, Sendable, CaseIterable {
    case constant
    /// Down to 0 at the last step.
    case linear
    /// Down to 0 along half a cosine.
    case cosine
  }

  public var course: Course
  public var warmup: Int
  /// Steps of the whole run.
  public var total: Int

  public init(_ course: Course, warmup: Int = 0, total: Int) {
    (self.course, self.warmup, self.total) = (course, warmup, total)
  }

  /// The factor at `step`, which counts from 0, as transformers' schedules have it: the first step of a
  /// warm-up has the factor 0.
  public func factor(step: Int) -> Double {
    if step < warmup { return Double(step) / Double(max(1, warmup)) }
    let progress = Double(step - warmup) / Double(max(1, total - warmup))
    switch course {
    case .constant: return 1
    case .linear: return max(0, Double(total - step) / Double(max(1, total - warmup)))
    case .cosine:
      return max(0, 0.5 * (1 + ReproducibleMath.sineAndCosine(.pi * progress).cosine))
    }
  }
}
