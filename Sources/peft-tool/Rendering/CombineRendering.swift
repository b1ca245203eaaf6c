import Operations
import Safetensors

/// What `combine` says.
struct CombineRendering {
  let output: OutputOptions
  let mode: CombinationMode

  func show(_ report: CombineReport) {
    if output.json {
      Terminal.putJSON(json(report))
      return
    }
    guard !output.quiet else { return }
    if report.copied {
      Terminal.put("copied the adapter to \(report.output), \(Text.bytes(report.bytesWritten))")
      return
    }
    var table = Table([("module", .left), ("rank", .right), ("lost", .right)])
    for module in report.modules {
      table.add([module.module, String(module.rank), Text.percent(module.truncation)])
    }
    for line in table.lines { Terminal.put(line) }
    let whole =
      report.replacements == 0
      ? "" : ", \(Text.count(report.replacements, "whole tensor")) carried over"
    Terminal.put(
      "combined \(Text.count(report.modules.count, "module")) by \(mode.rawValue)\(whole); wrote "
        + "\(Text.bytes(report.bytesWritten)) to \(report.output); lost "
        + "\(Text.percent(report.truncation)) of the norm by truncation")
  }

  private func json(_ report: CombineReport) -> JSONValue {
    [
      "output": .string(report.output),
      "mode": .string(mode.rawValue),
      "copied": .bool(report.copied),
      "modules": .array(
        report.modules.map { module in
          [
            "module": .string(module.module), "rank": .int(module.rank),
            "truncation": .double(module.truncation),
          ]
        }),
      "truncation": .double(report.truncation),
      "replacements": .int(report.replacements),
      "bytes_written": .int(report.bytesWritten),
    ]
  }
}
