/// The element type of a tensor; the raw value is the format's name for it.
///
/// The cases stand in the order that the format's writer sorts by: `rank` ascends with them.
public enum DType: String, CaseIterable, Hashable, Sendable {
  case bool = "BOOL"
  /// MX FP4 (E2M1), two elements a byte.
  case f4 = "F4"
  case f6e2m3 = "F6_E2M3"
  case f6e3m2 = "F6_E3M2"
  case u8 = "U8"
  case i8 = "I8"
  case f8e5m2 = "F8_E5M2"
  /// The variant without infinities, torch's `float8_e4m3fn`.
  case f8e4m3 = "F8_E4M3"
  /// MX scale: an exponent only.
  case f8e8m0 = "F8_E8M0"
  case f8e4m3fnuz = "F8_E4M3FNUZ"
  case f8e5m2fnuz = "F8_E5M2FNUZ"
  case i16 = "I16"
  case u16 = "U16"
  case f16 = "F16"
  case bf16 = "BF16"
  case i32 = "I32"
  case u32 = "U32"
  case f32 = "F32"
  /// Two f32: the real part, then the imaginary part.
  case c64 = "C64"
  case f64 = "F64"
  case i64 = "I64"
  case u64 = "U64"

  /// Bits of one element.
  public var bits: Int {
    switch self {
    case .f4: 4
    case .f6e2m3, .f6e3m2: 6
    case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
    case .i16, .u16, .f16, .bf16: 16
    case .i32, .u32, .f32: 32
    case .c64, .f64, .i64, .u64: 64
    }
  }

  /// The place in the writer's order: tensors are stored by descending rank.
  public var rank: Int { Self.ranks[self] ?? 0 }

  private static let ranks = Dictionary(
    uniqueKeysWithValues: allCases.enumerated().map { ($0.element, $0.offset) })

  /// Why a shape has no size in bytes.
  public enum SizeError: Error, Equatable, Sendable {
    /// The product of the dimensions, or that times the bits of an element, exceeds 64 bits, or a
    /// dimension is negative.
    case overflow
    /// A type of less than a byte, and not a whole number of bytes in total.
    case misaligned
  }

  /// The bytes that a tensor of `shape` occupies.
  ///
  /// The product is formed from left to right in 64 unsigned bits, as the reference does, so that a
  /// zero hides an overflow behind it and not one before it.
  public func byteCount(of shape: [Int]) throws(SizeError) -> Int {
    guard shape.allSatisfy({ $0 >= 0 }) else { throw .overflow }
    let count = try byteCount(ofDimensions: shape.lazy.map(UInt64.init))
    guard let count = Int(exactly: count) else { throw .overflow }
    return count
  }

  func byteCount(ofDimensions dimensions: some Sequence<UInt64>) throws(SizeError) -> UInt64 {
    var elements: UInt64 = 1
    var overflow = false
    for dimension in dimensions {
      (elements, overflow) = elements.multipliedReportingOverflow(by: dimension)
      if overflow { throw .overflow }
    }
    let (total, tooMany) = elements.multipliedReportingOverflow(by: UInt64(bits))
    if tooMany { throw .overflow }
    guard total % 8 == 0 else { throw .misaligned }
    return total / 8
  }
}
