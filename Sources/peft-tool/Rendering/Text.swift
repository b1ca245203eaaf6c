/// Numbers for people. Never locale-dependent.
enum Text {
  /// `2,359,296`.
  static func grouped(_ number: Int) -> String {
    let digits = String(number.magnitude)
    var groups: [Substring] = []
    var rest = Substring(digits)
    while rest.count > 3 {
      groups.insert(rest.suffix(3), at: 0)
      rest = rest.dropLast(3)
    }
    groups.insert(rest, at: 0)
    return (number < 0 ? "-" : "") + groups.joined(separator: ",")
  }

  /// `2.2 GB`, decimal.
  static func bytes(_ count: Int) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"]
    var value = Double(count)
    var unit = 0
    while value >= 999.5, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return unit == 0 ? "\(count) B" : fixed(value, value < 9.95 ? 1 : 0) + " " + units[unit]
  }

  /// `1.24 s`, `3 min 05 s`.
  static func duration(_ seconds: Double) -> String {
    if seconds < 9.95 { return fixed(seconds, 2) + " s" }
    let whole = Int(seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    let rest = whole % 60
    return "\(whole / 60) min \(rest < 10 ? "0" : "")\(rest) s"
  }

  /// `number` with `digits` behind the point.
  static func fixed(_ number: Double, _ digits: Int) -> String {
    guard number.isFinite else { return number.isNaN ? "nan" : number < 0 ? "-inf" : "inf" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (number.magnitude * scale).rounded(.toNearestOrEven)
    guard scaled < 9e15 else { return String(number) }
    let whole = Int(scaled)
    let unit = Int(scale)
    let sign = number < 0 && whole > 0 ? "-" : ""
    guard digits > 0 else { return sign + String(whole) }
    let fraction = String(whole % unit)
    let zeros = String(repeating: "0", count: digits - fraction.count)
    return sign + String(whole / unit) + "." + zeros + fraction
  }

  /// `99.6 %`.
  static func percent(_ part: Double) -> String { fixed(part * 100, 1) + " %" }

  /// `one`, or `3 ones`: a count with its noun.
  static func count(_ number: Int, _ noun: String, _ plural: String? = nil) -> String {
    grouped(number) + " " + (number == 1 ? noun : plural ?? noun + "s")
  }

  /// `[4, 64]`.
  static func shape(_ shape: [Int]) -> String {
    "[" + shape.map(String.init).joined(separator: ", ") + "]"
  }

  /// Four significant digits: `0.01235`, `1.235e-07`.
  static func significant(_ number: Double) -> String {
    guard number.isFinite, number != 0 else { return fixed(number, 0) }
    var (mantissa, exponent) = (number.magnitude, 0)
    while mantissa >= 9.9995 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 0.99995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    if (-3..<4).contains(exponent) { return fixed(number, 3 - exponent) }
    let digits = String(exponent.magnitude)
    let padded = digits.count < 2 ? "0" + digits : digits
    return (number < 0 ? "-" : "") + fixed(mantissa, 3) + (exponent < 0 ? "e-" : "e+") + padded
  }
}
