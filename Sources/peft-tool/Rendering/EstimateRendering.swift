import Operations

/// What `estimate` says.
struct EstimateRendering {
  let report: EstimateReport
  let listsModules: Bool

  var lines: [String] {
    // The line that PEFT prints.
    var lines = [
      "trainable params: \(Text.grouped(report.trainableParameters)) || "
        + "all params: \(Text.grouped(report.allParameters)) || "
        + "trainable%: \(Text.fixed(report.trainablePercent, 4))"
    ]
    let modules = Text.count(report.modules.count, "module")
    lines.append(
      "\(report.method) on \(modules); memory of training with \(batch):")
    var table = Table([("", .left), ("bytes", .right), ("", .right)])
    for (part, bytes) in parts { table.add(["  " + part, Text.grouped(bytes), Text.bytes(bytes)]) }
    lines += table.lines
    if listsModules { lines += report.modules.map { "  " + $0 } }
    return lines
  }

  private var batch: String {
    guard report.tokens == report.batchSize * report.sequenceLength else {
      return "batches of up to \(Text.count(report.tokens, "token"))"
    }
    return "a batch of \(Text.grouped(report.batchSize)) × "
      + Text.count(report.sequenceLength, "token")
  }

  private var parts: [(String, Int)] {
    let memory = report.memory
    return [
      ("weights", memory.weights), ("quantization constants", memory.quantizationConstants),
      ("adapter", memory.adapter), ("gradients", memory.gradients),
      ("optimizer", memory.optimizer), ("activations", memory.activations),
      ("total", memory.total),
    ]
  }
}
