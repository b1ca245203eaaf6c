@testable import Kernels

/// The stored types as their definitions say, one element at a time in f64: slow and obvious.
extension ElementType {
  /// Bits of exponent and fraction.
  private var layout: (exponent: Int, fraction: Int) {
    switch self {
    case .f32: (8, 23)
    case .f16: (5, 10)
    case .bf16: (8, 7)
    }
  }

  /// The value of a stored element; nil for a NaN.
  func twinValue(_ bits: UInt32) -> Double? {
    let (exponentBits, fractionBits) = layout
    let fraction = Int(bits) & (1 << fractionBits - 1)
    let exponent = Int(bits) >> fractionBits & (1 << exponentBits - 1)
    let negative = Int(bits) >> (fractionBits + exponentBits) & 1 == 1
    let bias = 1 << (exponentBits - 1) - 1
    var magnitude: Double
    if exponent == 1 << exponentBits - 1 {
      guard fraction == 0 else { return nil }
      magnitude = .infinity
    } else {
      let significand = exponent == 0 ? fraction : fraction + 1 << fractionBits
      magnitude = Double(
        sign: .plus, exponent: max(exponent, 1) - bias - fractionBits,
        significand: Double(significand))
    }
    return negative ? -magnitude : magnitude
  }

  /// The stored element that `value` rounds to: the last one not above it, or the next, whichever is
  /// nearer; of two equally near ones the even.
  func twinRound(_ value: Float) -> UInt32 {
    let (exponentBits, fractionBits) = layout
    let sign: UInt32 = value.sign == .minus ? 1 << UInt32(fractionBits + exponentBits) : 0
    let infinity: UInt32 = (1 << UInt32(exponentBits) - 1) << UInt32(fractionBits)
    if value.isNaN {
      if self == .f32 { return value.bitPattern }
      let payload = value.bitPattern & 0x7F_FFFF
      return sign | infinity | 1 << UInt32(fractionBits - 1) | payload >> UInt32(23 - fractionBits)
    }
    if value.isInfinite || self == .f32 { return self == .f32 ? value.bitPattern : sign | infinity }
    let magnitude = Double(value.magnitude)
    // Non-negative elements are in the order of their bits.
    var (low, high): (UInt32, UInt32) = (0, infinity)
    while high - low > 1 {
      let middle = (low + high) / 2
      if twinValue(middle)! <= magnitude { low = middle } else { high = middle }
    }
    let below = twinValue(low)!
    // Past the largest number the grid is thought to go on.
    let step = below - twinValue(low == 0 ? 0 : low - 1)!
    let above = high == infinity ? below + step : twinValue(high)!
    let half = (below + above) / 2
    return sign | (magnitude < half || magnitude == half && low % 2 == 0 ? low : high)
  }

  /// The stored element in f32, a NaN by the rule for NaNs.
  func twinWiden(_ bits: UInt32) -> Float {
    if let value = twinValue(bits) { return Float(value) }
    switch self {
    case .f32: return Float(bitPattern: bits)
    case .f16: return Float(bitPattern: (bits & 0x8000) << 16 | 0x7FC0_0000 | (bits & 0x3FF) << 13)
    case .bf16: return Float(bitPattern: bits << 16)
    }
  }
}
