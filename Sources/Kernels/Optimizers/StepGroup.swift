/// Parameters that an optimiser treats alike: a range of the flat buffer.
public struct StepGroup: Equatable, Sendable {
  public var range: Range<Int>
  /// What the schedule's learning rate is multiplied with.
  public var rate: Double
  public var weightDecay: Double

  public init(range: Range<Int>, rate: Double = 1, weightDecay: Double = 0) {
    (self.range, self.rate, self.weightDecay) = (range, rate, weightDecay)
  }

  /// Which parameters have which rate and decay.
  public enum Decay: Equatable, Sendable {
    /// Every parameter decays.
    case all
    /// Biases, normalisations and other vectors do not.
    case matrices
  }

  /// The groups of a model's parameters, in the order of the buffer.
  ///
  /// - Parameters:
  ///   - ratio: LoRA+: B, and what has one dimension, learns this much faster (Hayou et al. 2024; files as
  ///     PEFT's optimiser). 1: everything learns at the same rate.
  public static func groups<Scalar>(
    of parameters: TrainableParameters<Scalar>, weightDecay: Double, decaying: Decay = .all,
    loraPlusRatio ratio: Double = 1
  ) -> [StepGroup] {
    var groups: [StepGroup] = []
    for entry in parameters.entries {
      let isVector = entry.shape.count <= 1
      let isFast = isVector || entry.name.contains("lora_B")
      let group = StepGroup(
        range: entry.range, rate: isFast ? ratio : 1,
        weightDecay: decaying == .matrices && isVector ? 0 : weightDecay)
      if let last = groups.last, last.rate == group.rate, last.weightDecay == group.weightDecay,
        last.range.upperBound == group.range.lowerBound
      {
        groups[groups.count - 1].range = last.range.lowerBound..<group.range.upperBound
      } else {
        groups.append(group)
      }
    }
    return groups
  }
}
