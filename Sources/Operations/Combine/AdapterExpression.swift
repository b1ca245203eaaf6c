/// A sum of adapters in one text: `a + 0.5*b - c`. Names are paths; `+` and `-` stand between spaces,
/// so that they can be in a path, and a number goes before or behind its adapter with `*`.
public enum AdapterExpression {
  /// The terms of `text`; nil when it is no sum.
  public static func parse(_ text: String) -> [WeightedAdapter]? {
    var terms: [WeightedAdapter] = []
    var sign = 1.0
    var words: [Substring] = []
    func term() -> WeightedAdapter? {
      let body = words.joined(separator: " ")
      guard !body.isEmpty else { return nil }
      if let star = body.firstIndex(of: "*"), let weight = number(body[..<star]) {
        return named(body[body.index(after: star)...], sign * weight)
      }
      if let star = body.lastIndex(of: "*"), let weight = number(body[body.index(after: star)...]) {
        return named(body[..<star], sign * weight)
      }
      return named(body[...], sign)
    }
    for (index, word) in text.split(separator: " ").enumerated() {
      guard word == "+" || word == "-" else {
        words.append(word)
        continue
      }
      // A sign may also begin the sum.
      if index > 0 {
        guard let term = term() else { return nil }
        terms.append(term)
      }
      sign = word == "-" ? -1 : 1
      words = []
    }
    guard let last = term() else { return nil }
    return terms + [last]
  }

  private static func number(_ text: Substring) -> Double? {
    Double(text.split(separator: " ").joined()).flatMap { $0.isFinite ? $0 : nil }
  }

  private static func named(_ text: Substring, _ weight: Double) -> WeightedAdapter? {
    let name = text.split(separator: " ").joined(separator: " ")
    return name.isEmpty || name.contains("*") ? nil : WeightedAdapter(path: name, weight: weight)
  }
}
