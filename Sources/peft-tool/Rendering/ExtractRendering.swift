import Operations
import Safetensors

/// What `extract` says.
struct ExtractRendering {
  let output: OutputOptions
  let wanted: ExtractRequest.Method

  func show(_ report: ExtractReport) {
    if output.json {
      Terminal.putJSON(json(report))
      return
    }
    guard !output.quiet else { return }
    var table = Table([("module", .left), ("rank", .right), ("kept", .right)])
    for module in report.modules {
      table.add([module.module, String(module.rank), Text.percent(module.keptEnergy)])
    }
    if !report.modules.isEmpty { for line in table.lines { Terminal.put(line) } }
    for name in report.replaced { Terminal.put("\(name) is stored whole") }
    if wanted == .auto, report.method != .lora {
      let form =
        switch report.method {
        case .oneLoRA: "every changed matrix moved by one constant a row: a 1LoRA"
        case .dora: "every changed matrix is a LoRA of this rank with rescaled rows: a DoRA"
        default: "every changed matrix changed in few rows or columns: an SBoRA"
        }
      Terminal.put(form)
    }
    Terminal.put(
      "extracted \(Text.count(report.modules.count, "module")) as \(report.method.rawValue), "
        + "\(Text.grouped(report.unchanged)) tensors the same; kept "
        + "\(Text.percent(report.keptEnergy)) of the change's energy; wrote "
        + "\(Text.bytes(report.bytesWritten)) to \(report.output)")
  }

  private func json(_ report: ExtractReport) -> JSONValue {
    [
      "output": .string(report.output),
      "method": .string(report.method.rawValue),
      "modules": .array(
        report.modules.map { module in
          [
            "module": .string(module.module), "rank": .int(module.rank),
            "kept_energy": .double(module.keptEnergy),
          ]
        }),
      "kept_energy": .double(report.keptEnergy),
      "replaced": .array(report.replaced.map { .string($0) }),
      "unchanged": .int(report.unchanged),
      "bytes_written": .int(report.bytesWritten),
    ]
  }
}
