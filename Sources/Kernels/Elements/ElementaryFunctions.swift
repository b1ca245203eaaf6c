/// Elementary functions in f64 from additions, multiplications, divisions and exact conversions alone,
/// so that they give the same bits on every machine. System libraries do not agree on the last bit.
///
/// Each is within 10⁻¹⁵ relative of the true value unless it says otherwise: rounded to f32, it is
/// the correctly rounded value except where that value lies within 10⁻⁸ of a rounding boundary.
enum ElementaryFunctions {
  /// eˣ: `2ᵏ·eᵗ`, |t| ≤ ln 2 / 2, by the Taylor polynomial of degree 14.
  static func exponential(_ x: Double) -> Double {
    if x.isNaN { return x }
    if x > 709.8 { return .infinity }
    if x < -745.2 { return 0 }
    let k = (x * 1.4426950408889634).rounded(.toNearestOrEven)
    // ln 2 in two parts, the first with enough zero bits for k·high to be exact.
    let t = (x - k * 0x1.62e42fefap-1) - k * 0x1.cf79abc9e3b39p-40
    var sum = 1.0
    for n in stride(from: 14.0, through: 1, by: -1) { sum = 1 + sum * (t / n) }
    // Twice by half the exponent: 2ᵏ alone may be subnormal, or infinite.
    let half = (k / 2).rounded(.towardZero)
    return sum * power(ofTwo: Int(half)) * power(ofTwo: Int(k - half))
  }

  private static func power(ofTwo exponent: Int) -> Double {
    Double(sign: .plus, exponent: exponent, significand: 1)
  }

  /// tanh x.
  static func hyperbolicTangent(_ x: Double) -> Double {
    if abs(x) < 0.02 {
      let z = x * x
      return x * (1 + z * (-1 / 3.0 + z * (2 / 15.0 + z * (-17 / 315.0))))
    }
    if abs(x) > 20 { return x > 0 ? 1 : -1 }
    return 1 - 2 / (exponential(2 * x) + 1)
  }

  /// erf x: `2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!`, whose terms all have one sign.
  static func error(_ x: Double) -> Double {
    if x.isNaN { return x }
    if abs(x) > 6 { return x > 0 ? 1 : -1 }
    var term = x
    var sum = x
    var n = 1.0
    while abs(term) > 0x1p-60 * abs(sum) {
      term *= 2 * x * x / (2 * n + 1)
      sum += term
      n += 1
    }
    return 1.1283791670955126 * exponential(-x * x) * sum
  }

  /// Largest argument of `sineAndCosine`.
  static let largestAngle = 0x1p20

  /// sin x and cos x for |x| ≤ `largestAngle`, absolutely within 4·10⁻¹⁶.
  static func sineAndCosine(_ x: Double) -> (sine: Double, cosine: Double) {
    precondition(abs(x) <= largestAngle)
    let quarter = (x * 0.6366197723675814).rounded(.toNearestOrEven)
    // π/2 in three parts of at most 33 bits: quarter·part is exact for the first two.
    let rest =
      ((x - quarter * 0x1.921fb544p0) - quarter * 0x1.0b4611a6p-34) - quarter
      * 0x1.3198a2e037073p-69
    return rotated(polynomials(rest), byQuarters: Int(quarter))
  }

  /// sin and cos of 2π·numerator/denominator: the angle is reduced exactly, in integers.
  ///
  /// - Precondition: 0 ≤ numerator < denominator < 2⁵⁰.
  static func sineAndCosine(
    turns numerator: Int, of denominator: Int
  ) -> (sine: Double, cosine: Double) {
    // 4n/d = quarters + remainder/d, remainder/d in ±1/2.
    let quarters = (8 * numerator + denominator) / (2 * denominator)
    let remainder = 4 * numerator - quarters * denominator
    let angle = Double(remainder) / Double(denominator) * (Double.pi / 2)
    return rotated(polynomials(angle), byQuarters: quarters)
  }

  /// Taylor polynomials on |x| ≤ π/4 and a little more, of degree 19 and 18.
  private static func polynomials(_ x: Double) -> (sine: Double, cosine: Double) {
    let z = x * x
    var sine = 1.0
    var cosine = 1.0
    for n in stride(from: 18.0, through: 2, by: -2) {
      sine = 1 - z / (n * (n + 1)) * sine
      cosine = 1 - z / (n * (n - 1)) * cosine
    }
    return (x * sine, cosine)
  }

  private static func rotated(
    _ values: (sine: Double, cosine: Double), byQuarters quarters: Int
  ) -> (sine: Double, cosine: Double) {
    switch quarters & 3 {
    case 0: values
    case 1: (values.cosine, -values.sine)
    case 2: (-values.sine, -values.cosine)
    default: (-values.cosine, values.sine)
    }
  }
}
