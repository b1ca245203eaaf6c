/// Names of the tensors that belong to a quantized weight.
public enum CompanionName: String, CaseIterable, Sendable {
  case absmax
  case quantMap = "quant_map"
  case nestedAbsmax = "nested_absmax"
  case nestedQuantMap = "nested_quant_map"

  /// Of the weight called `weight`.
  public func name(of weight: String) -> String { weight + "." + rawValue }

  /// The name of the JSON of a 4-bit weight.
  public static func state(of weight: String, type: String) -> String {
    "\(weight).quant_state.bitsandbytes__\(type)"
  }

  /// The scales of the rows of an int8 weight (`SCB`).
  public static func rowScales(of weight: String) -> String { sibling("SCB", of: weight) }
  /// The layout of an int8 weight.
  public static func layout(of weight: String) -> String { sibling("weight_format", of: weight) }

  private static func sibling(_ leaf: String, of weight: String) -> String {
    (weight.lastIndex(of: ".").map { String(weight[...$0]) } ?? "") + leaf
  }

  /// The weight that the tensor `name` belongs to, or `name` itself: what stays in one file.
  public static func weight(of name: String) -> String {
    for companion in allCases where name.hasSuffix(".weight." + companion.rawValue) {
      return String(name.dropLast(companion.rawValue.utf8.count + 1))
    }
    if let found = name.firstRange(of: ".quant_state.bitsandbytes__") {
      return String(name[..<found.lowerBound])
    }
    for leaf in ["SCB", "weight_format"] where name.hasSuffix("." + leaf) {
      return name.dropLast(leaf.utf8.count) + "weight"
    }
    return name
  }
}
