/// Which elements dropout keeps: a function of the seed and the element's index alone, so that the
/// backward pass finds the same mask without storing it.
public struct DropoutMask: Sendable {
  /// What a kept element is multiplied with: 1/(1 − p).
  public let scale: Double
  private let seed: UInt64
  private let threshold: UInt64

  /// - Parameters:
  ///   - probability: of an element to be dropped, at least 0 and below 1.
  ///   - seed: another one for every layer and step.
  public init(probability: Double, seed: UInt64) {
    precondition(probability >= 0 && probability < 1)
    self.seed = seed
    scale = 1 / (1 - probability)
    threshold = UInt64(probability * 0x1p32)
  }

  /// Whether element `index` stays. SplitMix64 (Steele, Lea and Flood 2014) at position `index`.
  @inline(__always)
  func keeps(_ index: Int) -> Bool {
    var bits = seed &+ UInt64(truncatingIfNeeded: index) &* 0x9e37_79b9_7f4a_7c15
    bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
    return (bits ^ (bits >> 31)) >> 32 >= threshold
  }

  /// `result = mask∘matrix / (1 − p)`.
  public func apply<Scalar: TrainingScalar>(
    to matrix: MatrixView<Scalar>, into result: MatrixView<Scalar>
  ) {
    for row in 0..<matrix.rows {
      result[row].update(repeating: 0)
      Scalar.add(
        matrix[row], keptBy: self, from: row * matrix.columns, to: result[row])
    }
  }

  /// `result += mask∘matrix / (1 − p)`: the way back for gradients.
  public func add<Scalar: TrainingScalar>(
    _ matrix: MatrixView<Scalar>, to result: MatrixView<Scalar>
  ) {
    for row in 0..<matrix.rows {
      Scalar.add(matrix[row], keptBy: self, from: row * matrix.columns, to: result[row])
    }
  }
}
