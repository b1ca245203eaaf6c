/// How weights are quantized.
public struct QuantizationScheme: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    case nf4
    case fp4
    /// LLM.int8(): a scale for each row.
    case int8
  }

  public let kind: Kind
  /// Elements that share a scale; of no meaning for int8.
  public let blockSize: Int
  /// The scales are quantized in turn; of no meaning for int8.
  public let doubleQuantized: Bool

  /// - Throws: `blockSize` for a size that bitsandbytes does not have.
  public init(
    _ kind: Kind, blockSize: Int = 64, doubleQuantized: Bool = true
  ) throws(QuantizationError) {
    guard FourBitFormat.blockSizes.contains(blockSize) else { throw .blockSize(blockSize) }
    (self.kind, self.blockSize, self.doubleQuantized) = (kind, blockSize, doubleQuantized)
  }

  /// The 4-bit code; nil for int8.
  public var code: FourBitCode? {
    switch kind {
    case .nf4: .nf4
    case .fp4: .fp4
    case .int8: nil
    }
  }
}
