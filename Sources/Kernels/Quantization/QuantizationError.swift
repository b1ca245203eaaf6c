/// Why a weight cannot be quantized or restored.
public enum QuantizationError: Error, Sendable, Equatable {
  /// Not one of `FourBitFormat.blockSizes`.
  case blockSize(Int)
  /// A 4-bit code needs sixteen finite values.
  case codeValues([Float])
  /// A map of 8-bit scales needs 256 finite values.
  case mapValues(count: Int)
  /// A part of a quantized weight has another size than its shape asks for.
  case size(part: Part, found: Int, expected: Int)
  /// The element at `index`, row-major, is infinite or not a number, or becomes so in f16.
  case notFinite(index: Int)

  /// A part of a quantized weight, counted in its own elements.
  public enum Part: Sendable, Equatable {
    case codes
    case scales
    case nestedScales
  }
}
