import Operations
import Safetensors

/// What `inspect` says of an adapter.
struct AdapterRendering {
  let inspection: AdapterInspection
  let listsTensors: Bool

  /// Modules listed without `--tensors`.
  private static let shown = 12

  var lines: [String] {
    var lines = [
      "\(inspection.path): adapter, \(inspection.peftType) "
        + "(\(inspection.methods.joined(separator: ", "))), as \(inspection.format.rawValue)"
    ]
    if let base = inspection.baseName { lines.append("  made for      \(base)") }
    lines.append("  modules       \(Text.grouped(inspection.modules.count))")
    lines.append("  trainable     \(Text.grouped(inspection.trainableParameters)) parameters")
    if let reason = inspection.notMergeable { lines.append("  not mergeable: \(reason)") }
    if !inspection.modules.isEmpty {
      var table = Table([
        ("module", .left), ("method", .left), ("rank", .right), ("scale", .right),
        ("parameters", .right),
      ])
      let limit = listsTensors ? Int.max : Self.shown
      for module in inspection.modules.prefix(limit) {
        table.add([
          module.module, module.method, module.rank.map(String.init) ?? "-",
          module.scale.map { "\($0)" } ?? "-", Text.grouped(module.parameters),
        ])
        if listsTensors {
          for tensor in module.tensors { table.add(["  " + tensor, "", "", "", ""]) }
        }
      }
      lines += [""] + table.lines
      let rest = inspection.modules.count - Self.shown
      if !listsTensors, rest > 0 {
        lines.append("and \(Text.count(rest, "more module")) (--tensors lists all)")
      }
      lines.append("")
    }
    if !inspection.replacements.isEmpty {
      lines.append("  replaces      \(Text.count(inspection.replacements.count, "tensor"))")
      for name in inspection.replacements { lines.append("    \(name)") }
    }
    if !inspection.idleModules.isEmpty {
      lines.append(
        "  no change     \(Text.count(inspection.idleModules.count, "module")) whose lora_B is zero: "
          + Failure.list(inspection.idleModules))
    }
    if let fit = inspection.fit {
      for tensor in fit.unmatched {
        lines.append(
          "  no match: \(tensor.tensor)" + (tensor.nearest.map { " (nearest: \($0))" } ?? ""))
      }
      if !fit.untouchedTargets.isEmpty {
        lines.append(
          "  targets \(Text.count(fit.untouchedTargets.count, "module")) that it has no tensors for: "
            + Failure.list(fit.untouchedTargets))
      }
      lines.append(
        "trainable params: \(Text.grouped(inspection.trainableParameters)) || all params: "
          + "\(Text.grouped(fit.allParameters)) || trainable%: "
          + Text.fixed(fit.percent(inspection.trainableParameters), 4))
    }
    lines += inspection.problems.map { "  problem: " + $0.sentence }
    lines.append(inspection.isSound ? "  sound" : "  NOT sound")
    return lines
  }

  var json: JSONValue {
    var object: JSONObject = [
      "kind": "adapter",
      "method": .string(inspection.peftType),
      "format": .string(inspection.format.rawValue),
      "mergeable": .bool(inspection.notMergeable == nil),
      "trainable_parameters": .int(inspection.trainableParameters),
      "modules": .array(
        inspection.modules.map { module in
          [
            "module": .string(module.module), "method": .string(module.method),
            "rank": module.rank.map { .int($0) } ?? .null,
            "scale": module.scale.map(JSONValue.double) ?? .null,
            "parameters": .int(module.parameters),
            "tensors": .array(module.tensors.map { .string($0) }),
          ]
        }),
      "replacements": .array(inspection.replacements.map { .string($0) }),
      "idle_modules": .array(inspection.idleModules.map { .string($0) }),
      "sound": .bool(inspection.isSound),
      "problems": .array(inspection.problems.map { .string($0.sentence) }),
    ]
    if let fit = inspection.fit {
      object["all_parameters"] = .int(fit.allParameters)
      object["trainable_percent"] = .double(fit.percent(inspection.trainableParameters))
      object["unmatched"] = .array(fit.unmatched.map { .string($0.tensor) })
      object["untouched_targets"] = .array(fit.untouchedTargets.map { .string($0) })
    }
    return .object(object)
  }
}
