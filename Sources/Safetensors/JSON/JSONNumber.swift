/// A JSON number as it is written: `6.0`, `6` and `6e0` stay what they are when a document is read,
/// edited and written again.
public struct JSONNumber: Hashable, Sendable {
  public let lexeme: String

  /// A number by its text, which must follow the grammar of JSON (or be one of Python's `NaN`,
  /// `Infinity`, `-Infinity`).
  init(lexeme: String) {
    self.lexeme = lexeme
  }

  public init(_ value: some BinaryInteger) {
    lexeme = String(value)
  }

  /// The shortest decimal that reads back as `value`, in the notation of Python's `repr`.
  public init(_ value: Double) {
    lexeme = pythonRepresentation(of: value)
  }

  /// Whether the number is written without fraction and exponent.
  public var isInteger: Bool {
    !lexeme.utf8.contains { $0 == UInt8(ascii: ".") || $0 | 0x20 == UInt8(ascii: "e") }
      && lexeme.utf8.last.map { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") } == true
  }

  /// The value of a number written as an integer; nil for `6.0` and for what an `Int` cannot hold.
  public var int: Int? { isInteger ? Int(lexeme) : nil }

  /// The nearest `Double`.
  public var double: Double {
    switch lexeme {
    case "NaN": .nan
    case "Infinity": .infinity
    case "-Infinity": -.infinity
    default: Double(lexeme) ?? .nan
    }
  }
}

/// `repr(value)` of Python: the digits that Swift prints too (both are the shortest that read back),
/// positional for exponents −4 ..< 16 and scientific, with two digits of exponent at least, beyond.
private func pythonRepresentation(of value: Double) -> String {
  if value.isNaN { return "NaN" }
  if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
  let sign = value.sign == .minus ? "-" : ""
  if value.isZero { return sign + "0.0" }

  // Swift's own notation, taken apart: digits d₀d₁… with the decimal point after `pointAt` of them.
  let parts = value.magnitude.description.split(separator: "e")
  let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
  let fraction = mantissa.count > 1 ? mantissa[1] : ""
  let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
  var digits = Array(mantissa[0].utf8) + Array(fraction.utf8)
  var pointAt = mantissa[0].utf8.count + exponent
  let zero = UInt8(ascii: "0")
  while digits.count > 1, digits[0] == zero {
    digits.removeFirst()
    pointAt -= 1
  }
  while digits.count > 1, digits.last == zero { digits.removeLast() }

  func text(_ slice: ArraySlice<UInt8>) -> String { String(decoding: slice, as: UTF8.self) }
  let decimalExponent = pointAt - 1
  if decimalExponent < -4 || decimalExponent >= 16 {
    let rest = digits.count > 1 ? "." + text(digits[1...]) : ""
    let magnitude = String(decimalExponent.magnitude)
    let padded = magnitude.utf8.count < 2 ? "0" + magnitude : magnitude
    return sign + text(digits[..<1]) + rest + "e" + (decimalExponent < 0 ? "-" : "+") + padded
  }
  if pointAt <= 0 {
    return sign + "0." + String(repeating: "0", count: -pointAt) + text(digits[...])
  }
  if digits.count <= pointAt {
    return sign + text(digits[...]) + String(repeating: "0", count: pointAt - digits.count) + ".0"
  }
  return sign + text(digits[..<pointAt]) + "." + text(digits[pointAt...])
}
