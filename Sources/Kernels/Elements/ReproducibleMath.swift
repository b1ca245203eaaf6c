/// Elementary functions in double precision from basic operations alone, so that they give the same bits
/// on every system: C libraries differ in the last place.
///
/// The error is below two units in the last place over the ranges stated.
public enum ReproducibleMath {
  /// eˣ for −708 ≤ x ≤ 709: x = n·ln 2 + r, and 14 terms of the series of eʳ.
  public static func exponential(_ x: Double) -> Double {
    let n = (x * 0x1.71547652b82fep+0).rounded(.toNearestOrEven)
    let r = x.addingProduct(-n, 0x1.62e42fefa39efp-1).addingProduct(-n, 0x1.abc9e3b39803fp-56)
    var sum = 1.0
    for k in stride(from: 14.0, through: 1, by: -1) { sum = 1 + sum * r / k }
    return sum * Double(sign: .plus, exponent: Int(n), significand: 1)
  }

  /// ln x for normal x > 0: x = 2ⁿ·m with m in [√½, √2), and the series of 2·artanh((m − 1)/(m + 1)).
  public static func logarithm(_ x: Double) -> Double {
    var (n, m) = (Double(x.exponent), x.significand)
    if m > 0x1.6a09e667f3bcdp+0 { (n, m) = (n + 1, m / 2) }
    let s = (m - 1) / (m + 1)
    var series = 0.0
    for k in stride(from: 23.0, through: 1, by: -2) { series = series * (s * s) + 1 / k }
    return (n * 0x1.abc9e3b39803fp-56 + 2 * s * series) + n * 0x1.62e42fefa39efp-1
  }

  /// bʸ for normal b > 0.
  public static func power(_ base: Double, _ exponent: Double) -> Double {
    exponential(exponent * logarithm(base))
  }

  /// Sine and cosine for |x| ≤ 10⁶: x = n·π/2 + r, and the series of both up to r¹⁷.
  public static func sineAndCosine(_ x: Double) -> (sine: Double, cosine: Double) {
    let n = (x * 0x1.45f306dc9c883p-1).rounded(.toNearestOrEven)
    // π/2 in three parts; products with n are exact inside the fused operations.
    let r = x.addingProduct(-n, 0x1.921fb54442d18p+0).addingProduct(-n, 0x1.1a62633145c07p-54)
      .addingProduct(-n, -0x1.f1976b7ed8fbcp-110)
    let square = r * r
    var (sine, cosine) = (1.0, 1.0)
    for k in stride(from: 16.0, through: 2, by: -2) {
      sine = 1 - sine * square / (k * (k + 1))
      cosine = 1 - cosine * square / (k * (k - 1))
    }
    sine *= r
    switch Int(n) & 3 {
    case 0: return (sine, cosine)
    case 1: return (cosine, -sine)
    case 2: return (-sine, -cosine)
    default: return (-cosine, sine)
    }
  }
}
