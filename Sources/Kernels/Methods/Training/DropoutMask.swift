/// Which elements dropout keeps: a function of the seed and the element's index alone, so that the
/// backward pass finds the same mask without storing it.
public struct DropoutMask: Sendable {
  /// What a kept element is multiplied with: 1/(1 − p).
  public let scale: Double
  @usableFromInline let seed: UInt64
  @usableFromInline let threshold: UInt64

  /// - Parameters:
  ///   - probability: of an element to be dropped, at least 0 and below 1; taken to 16 bits.
  ///   - seed: another one for every layer and step.
  public init(probability: Double, seed: UInt64) {
    precondition(probability >= 0 && probability < 1)
    self.seed = seed
    scale = 1 / (1 - probability)
    threshold = UInt64(probability * 0x1p16)
  }

  /// The bits that decide about element `index`, the low 16, and about those after it up to the next
  /// multiple of 4. SplitMix64 (Steele, Lea and Flood 2014) at position `index / 4`.
  @inlinable @inline(__always)
  func bits(of index: Int) -> UInt64 {
    let position = UInt64(truncatingIfNeeded: index >> 2) &+ 1
    var bits = seed &+ position &* 0x9e37_79b9_7f4a_7c15
    bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
    return (bits ^ (bits >> 31)) >> UInt64(16 * (index & 3))
  }

  /// Whether the element stays whose bits are the low 16.
  @inlinable @inline(__always)
  func keeps(_ bits: UInt64) -> Bool { bits & 0xffff >= threshold }

  /// `result = mask∘matrix / (1 − p)`.
  public func apply<Scalar: TrainingScalar>(
    to matrix: MatrixView<Scalar>, into result: MatrixView<Scalar>
  ) {
    for row in 0..<matrix.rows {
      Scalar.fill(result[row], with: 0)
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
