import Operations
import Safetensors

/// What `diff` says.
struct DiffRendering {
  /// As they were named.
  let a: String
  let b: String
  let report: DiffReport
  let order: DiffOrder
  /// How many changed tensors are listed.
  let limit: Int?
  let hasPage: Bool
  let tolerance: Double?

  /// The changed tensors that are listed, in order.
  var listed: [TensorDifference] {
    let sorted = order.sorted(report.tensors.changed)
    return limit.map { Array(sorted.prefix($0)) } ?? sorted
  }

  /// How the changed matrices of models changed in magnitude and direction. Those of an adapter are
  /// factors, of which it means nothing.
  var features: [(tensor: String, magnitude: Double, direction: Double)] {
    guard report.kind == .model else { return [] }
    return report.tensors.changed.compactMap { difference in
      guard let numbers = difference.numbers, let magnitude = numbers.magnitudeChange,
        let direction = numbers.directionChange
      else { return nil }
      return (difference.tensor, magnitude, direction)
    }
  }

  /// Of those two.
  var correlation: Double? {
    report.kind == .model ? report.tensors.magnitudeDirectionCorrelation : nil
  }

  /// The result in a sentence.
  var summary: String {
    let tensors = report.tensors
    var parts: [String] = []
    if report.isIdentical {
      return "identical: \(Text.count(tensors.equal, "tensor"))"
        + (tolerance == nil ? "" : ", within the tolerance")
    }
    if !tensors.changed.isEmpty {
      parts.append("\(Text.count(tensors.changed.count, "tensor")) changed")
    }
    if !tensors.onlyInA.isEmpty { parts.append("\(Text.grouped(tensors.onlyInA.count)) only in A") }
    if !tensors.onlyInB.isEmpty { parts.append("\(Text.grouped(tensors.onlyInB.count)) only in B") }
    if let fields = report.adapters?.fields, !fields.isEmpty {
      parts.append("\(Text.count(fields.count, "setting")) changed")
    }
    parts.append("\(Text.grouped(tensors.equal)) equal")
    return parts.joined(separator: ", ")
  }

  // MARK: - Text

  var lines: [String] {
    var lines: [String] = []
    let tensors = report.tensors
    for (side, names) in [("A", tensors.onlyInA), ("B", tensors.onlyInB)] where !names.isEmpty {
      lines += ["only in \(side):"] + names.map { "  " + $0 } + [""]
    }
    if let adapters = report.adapters { lines += adapterLines(adapters) }
    let listed = self.listed
    if !listed.isEmpty {
      var table = Table([
        ("tensor", .left), ("type", .left), ("shape", .left), ("max|a-b|", .right),
        ("mean|a-b|", .right), ("‖A-B‖/‖A‖", .right), ("cosine", .right), ("ulp", .right),
        ("ΔM", .right), ("ΔD", .right),
      ])
      for difference in listed {
        table.add([difference.tensor] + Self.cells(difference))
      }
      lines += table.lines
      if listed.count < tensors.changed.count {
        lines.append("… and \(Text.grouped(tensors.changed.count - listed.count)) more")
      }
      let broken = listed.filter { ($0.numbers?.notFinite ?? 0) > 0 }
      for difference in broken {
        guard let numbers = difference.numbers else { continue }
        lines.append(
          "\(difference.tensor): \(Text.count(numbers.notFinite, "element")) infinite or NaN, left "
            + "out of the numbers; \(Text.grouped(numbers.mismatched)) not the same in both")
      }
      lines.append("")
    }
    if let correlation {
      lines.append(
        "correlation of ΔM and ΔD over the changed matrices: \(Text.fixed(correlation, 3))")
    }
    lines.append(summary)
    return lines
  }

  private func adapterLines(_ adapters: AdapterComparison) -> [String] {
    var lines: [String] = []
    if !adapters.fields.isEmpty {
      var table = Table([("setting", .left), ("A", .left), ("B", .left)])
      for field in adapters.fields {
        table.add([field.name, Self.shortened(field.a), Self.shortened(field.b)])
      }
      lines += table.lines + [""]
    }
    let changed = adapters.modules.filter { $0.relativeNorm != 0 }
    if !changed.isEmpty {
      var table = Table([
        ("module", .left), ("rank", .right), ("‖ΔA‖", .right), ("‖ΔB‖", .right),
        ("‖ΔA-ΔB‖/‖ΔA‖", .right), ("cosine", .right), ("stable rank", .right),
        ("effective rank", .right),
      ])
      for module in limit.map({ Array(changed.prefix($0)) }) ?? changed {
        table.add([module.module] + Self.cells(module))
      }
      lines += table.lines + [""]
    }
    return lines
  }

  /// A value of the configuration, or a dash.
  static func value(_ value: JSONValue?) -> String {
    value?.serialized(style: .pythonLine, asciiOnly: false) ?? "-"
  }

  /// At most 40 characters of it.
  private static func shortened(_ value: JSONValue?) -> String {
    let text = self.value(value)
    return text.count > 40 ? text.prefix(39) + "…" : text
  }

  /// Two texts as one where they are the same.
  private static func both(_ a: String, _ b: String) -> String { a == b ? a : a + " → " + b }

  /// Type, shape and numbers of a tensor, as they are shown.
  static func cells(_ difference: TensorDifference) -> [String] {
    func type(_ stored: TensorDifference.Stored) -> String {
      stored.encoding ?? stored.dtype.rawValue
    }
    let stored = [
      both(type(difference.a), type(difference.b)),
      both(Text.shape(difference.a.shape), Text.shape(difference.b.shape)),
    ]
    guard let numbers = difference.numbers else {
      return stored + Array(repeating: "-", count: 7)
    }
    return stored + [
      Text.significant(numbers.maximum), Text.significant(numbers.mean),
      numbers.relativeNorm.map(Text.significant) ?? "inf",
      numbers.cosine.map { Text.fixed($0, 6) } ?? "-", Text.grouped(numbers.distance),
      numbers.magnitudeChange.map(Text.significant) ?? "-",
      numbers.directionChange.map(Text.significant) ?? "-",
    ]
  }

  /// Numbers of a module, as they are shown.
  static func cells(_ module: AdapterComparison.Module) -> [String] {
    func text(_ value: (AdapterComparison.Change) -> String) -> String {
      both(module.a.map(value) ?? "-", module.b.map(value) ?? "-")
    }
    return [
      text { String($0.rank) }, module.a.map { Text.significant($0.norm) } ?? "-",
      module.b.map { Text.significant($0.norm) } ?? "-",
      module.relativeNorm.map(Text.significant) ?? "-",
      module.cosine.map { Text.fixed($0, 6) } ?? "-", text { Text.fixed($0.stableRank, 2) },
      text { Text.fixed($0.effectiveRank, 2) },
    ]
  }
}
