import Adapters
import Operations
import Safetensors

/// What `merge` says.
struct MergeRendering {
  let output: OutputOptions

  func show(_ plan: MergePlan) {
    if output.json {
      let object: JSONValue = [
        "dry_run": true,
        "changed": .array(plan.changed.map { .string($0) }),
        "added": .array(plan.added.map { .string($0) }),
        "copied": .int(plan.copied),
        "files": .array(plan.files.map { .string($0) }),
        "bytes": .int(plan.bytes),
      ]
      Terminal.putJSON(object)
      return
    }
    Terminal.put("would write \(plan.request.output): \(Text.bytes(plan.bytes))")
    for file in plan.files { Terminal.put("  \(file)") }
    Terminal.put("would change \(Text.count(plan.changed.count, "tensor")):")
    for name in plan.changed {
      Terminal.put("  \(name)\(plan.added.contains(name) ? " (new)" : "")")
    }
    Terminal.put("would copy \(Text.count(plan.copied, "tensor"))")
    for warning in plan.warnings { Terminal.tell("warning: " + warning.sentence) }
  }

  func show(_ report: MergeReport, seconds: Double) {
    for warning in shown(report.warnings) { Terminal.tell("warning: " + warning) }
    if output.json {
      Terminal.putJSON(json(report, seconds: seconds))
      return
    }
    guard !output.quiet else { return }
    if output.verbose { for line in table(report) { Terminal.put(line) } }
    let added = report.added.isEmpty ? "" : " (\(report.added.count) new)"
    Terminal.put(
      "merged \(Text.count(report.changes.count, "tensor"))\(added), copied "
        + "\(Text.grouped(report.copied)); wrote \(Text.bytes(report.bytesWritten)) to "
        + "\(report.output) in \(Text.duration(seconds)), peak memory "
        + Text.bytes(ProcessMemory.peakBytes))
    if let undo = report.undo {
      Terminal.put("undo record: \(undo.path), \(Text.bytes(undo.bytes))")
    }
    if let worst = report.changes.filter({ $0.retention != nil }).min(by: {
      ($0.retention ?? 1) < ($1.retention ?? 1)
    }), let retention = worst.retention {
      Terminal.put(
        "retention: \(Text.percent(Self.total(report))) of the change is in the stored weights; "
          + "least in \(worst.tensor), \(Text.percent(retention))")
    }
  }

  /// Retention of all changes together, weighted by their squared norms.
  private static func total(_ report: MergeReport) -> Double {
    var kept = 0.0
    var wanted = 0.0
    for change in report.changes {
      let squared = change.deltaNorm * change.deltaNorm
      wanted += squared
      kept += squared * (change.retention ?? 0)
    }
    return wanted > 0 ? kept / wanted : 1
  }

  /// Warnings as sentences; many of one kind become one.
  private func shown(_ warnings: [MergeWarning]) -> [String] {
    let lost = warnings.filter { if case .lostInQuantization = $0 { true } else { false } }
    if lost.count > 3, !output.verbose {
      let others = warnings.filter { if case .lostInQuantization = $0 { false } else { true } }
      return [
        "THE MERGE IS LARGELY LOST: \(lost.count) tensors keep less than "
          + "\(Text.percent(MergeOperation.lostRetention)) of their change, because the steps of the "
          + "quantized codes are larger than the change. Merge without --quantize, or with the "
          + "16-bit original as --base-weights; --verbose lists them."
      ] + shown(others)
    }
    let low = warnings.filter { if case .lowRetention = $0 { true } else { false } }
    guard low.count > 3, !output.verbose else { return warnings.map(\.sentence) }
    let others = warnings.filter { if case .lowRetention = $0 { false } else { true } }
    let lostCount = low.filter {
      if case .lowRetention(_, let kept) = $0 { kept < MergeOperation.lostRetention } else { false }
    }.count
    let loud = lostCount == 0 ? "" : "THE MERGE IS LARGELY LOST: "
    let less =
      lostCount == 0
      ? ""
      : ", \(lostCount) of them less than \(Text.percent(MergeOperation.lostRetention)),"
    return others.map(\.sentence)
      + [
        loud
          + "\(low.count) tensors keep less than \(Text.percent(MergeOperation.lowRetention))\(less) of "
          + "their change: it is smaller than the stored type can show. --dtype f32 keeps it; --verbose "
          + "lists them."
      ]
  }

  private func table(_ report: MergeReport) -> [String] {
    var table = Table([
      ("tensor", .left), ("‖ΔW‖", .right), ("‖W‖", .right), ("retention", .right),
    ])
    for change in report.changes {
      table.add([
        change.tensor, Text.fixed(change.deltaNorm, 4), Text.fixed(change.weightNorm, 4),
        change.retention.map(Text.percent) ?? "-",
      ])
    }
    return table.lines
  }

  private func json(_ report: MergeReport, seconds: Double) -> JSONValue {
    [
      "changed": .array(
        report.changes.map { change in
          [
            "tensor": .string(change.tensor),
            "delta_norm": .double(change.deltaNorm),
            "weight_norm": .double(change.weightNorm),
            "retention": change.retention.map(JSONValue.double) ?? .null,
          ]
        }),
      "added": .array(report.added.map { .string($0) }),
      "copied": .int(report.copied),
      "unused": .array(report.unused.map { .string($0.tensor) }),
      "bytes_written": .int(report.bytesWritten),
      "seconds": .double((seconds * 1000).rounded() / 1000),
      "peak_memory_bytes": .int(ProcessMemory.peakBytes),
      "undo": report.undo.map { ["path": .string($0.path), "bytes": .int($0.bytes)] } ?? .null,
      "output_fingerprint": .string(report.fingerprint.description),
    ]
  }
}
