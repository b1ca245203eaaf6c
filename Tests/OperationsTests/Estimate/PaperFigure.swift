import Foundation

/// A figure printed in a paper, with the number that stands behind it.
struct PaperFigure {
  /// How the printed digits relate to the number.
  enum Verdict: Equatable {
    /// The number rounds to them.
    case exact
    /// They are the number cut off.
    case truncated
    /// They are another number; the paper does not follow its own rule.
    case discrepancy
    /// A rounded size, or inputs that the paper does not give.
    case nominal
  }

  var table: String
  var row: String
  var printed: String
  var value: Decimal
  var verdict: Verdict
  /// What the paper does not say and the number needs; nil where it follows from the method alone.
  var assumption: String?

  init(
    _ table: String, _ row: String, _ printed: String, _ value: Int, _ verdict: Verdict = .exact,
    assuming assumption: String? = nil
  ) {
    self.init(table, row, printed, Decimal(value), verdict, assumption)
  }

  init(
    _ table: String, _ row: String, _ printed: String, _ value: Double,
    _ verdict: Verdict = .exact, assuming assumption: String? = nil
  ) {
    let decimal = Decimal(string: "\(value)") ?? .nan
    self.init(table, row, printed, decimal, verdict, assumption)
  }

  private init(
    _ table: String, _ row: String, _ printed: String, _ value: Decimal, _ verdict: Verdict,
    _ assumption: String?
  ) {
    self.table = table
    self.row = row
    self.printed = printed
    self.value = value
    self.verdict = verdict
    self.assumption = assumption
  }

  /// What comparing the digits says; a figure that is meant as nominal stays so.
  var found: Verdict {
    if verdict == .nominal { return .nominal }
    let digits = printed.replacingOccurrences(of: ",", with: "")
    if value(formattedLike: digits, .plain) == digits { return .exact }
    if value(formattedLike: digits, .down) == digits { return .truncated }
    return .discrepancy
  }

  /// The number with the suffix and as many decimals as `digits`.
  func value(formattedLike digits: String, _ mode: NSDecimalNumber.RoundingMode) -> String {
    let suffix = digits.last.flatMap { "KM".contains($0) ? $0 : nil }
    let body = suffix == nil ? digits[...] : digits.dropLast()
    let decimals = body.split(separator: ".").dropFirst().first?.count ?? 0
    var scaled = value / (suffix == "K" ? 1_000 : suffix == "M" ? 1_000_000 : 1)
    var rounded = Decimal()
    NSDecimalRound(&rounded, &scaled, decimals, mode)
    var text = "\(rounded)"
    if decimals > 0 {
      if !text.contains(".") { text += "." }
      let present = text.split(separator: ".", omittingEmptySubsequences: false)[1].count
      text += String(repeating: "0", count: decimals - present)
    }
    return text + (suffix.map(String.init) ?? "")
  }
}
