/// The 8-bit floating-point types that some adapters are stored in. They are only read.
///
/// Micikevicius et al., "FP8 Formats for Deep Learning", arXiv:2209.05433, table 1.
public enum Float8: String, Sendable, CaseIterable {
  /// 4 bits of exponent, bias 7, 3 of fraction. No infinities; NaN is S.1111.111 alone.
  case e4m3fn
  /// 5 bits of exponent, bias 15, 2 of fraction: the upper byte of an f16.
  case e5m2

  /// The value of every byte. A NaN has the sign of its byte, and E5M2's also its payload.
  public var values: [Float] { self == .e4m3fn ? Self.e4m3fnValues : Self.e5m2Values }

  /// Widens bytes to f32, exactly.
  public func widen(
    from source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(source.count == destination.count)
    values.withUnsafeBufferPointer { values in
      for index in destination.indices { destination[index] = values[Int(source[index])] }
    }
  }

  private static let e4m3fnValues = (0...UInt8.max).map { value($0, fraction: 3, bias: 7) }
  private static let e5m2Values = (0...UInt8.max).map { value($0, fraction: 2, bias: 15) }

  private static func value(_ byte: UInt8, fraction bits: Int, bias: Int) -> Float {
    let fraction = Int(byte) & (1 << bits - 1)
    let exponent = Int(byte & 0x7F) >> bits
    let negative = byte >= 0x80
    if bits == 2 && exponent == 31 {
      let pattern: UInt32 = fraction == 0 ? 0x7F80_0000 : 0x7FC0_0000 | UInt32(fraction) << 21
      return Float(bitPattern: pattern | (negative ? 0x8000_0000 : 0))
    }
    if bits == 3 && byte & 0x7F == 0x7F {
      return Float(bitPattern: negative ? 0xFFC0_0000 : 0x7FC0_0000)
    }
    let significand = exponent == 0 ? fraction : fraction + 1 << bits
    return Float(
      sign: negative ? .minus : .plus, exponent: max(exponent, 1) - bias - bits,
      significand: Float(significand))
  }
}
