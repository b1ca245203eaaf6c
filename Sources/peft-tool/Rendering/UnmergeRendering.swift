import Operations
import Safetensors

/// What `unmerge` says.
struct UnmergeRendering {
  let output: OutputOptions

  func show(_ plan: UnmergePlan) {
    if output.json {
      Terminal.putJSON([
        "dry_run": true,
        "exact": .bool(plan.isExact),
        "record": plan.record.map(JSONValue.string) ?? .null,
        "restored": .array(plan.restored.map { .string($0) }),
        "dropped": .array(plan.dropped.map { .string($0) }),
        "kept": .array(plan.kept.map { .string($0) }),
        "copied": .int(plan.copied),
        "files": .array(plan.shards.map { .string($0) }),
        "bytes": .int(plan.bytes),
      ])
      return
    }
    Terminal.put("would write \(plan.request.output): \(Text.bytes(plan.bytes))")
    for file in plan.shards { Terminal.put("  \(file)") }
    Terminal.put(
      plan.record.map { "would restore, by \($0):" } ?? "would restore, up to rounding:")
    for name in plan.restored { Terminal.put("  \(name)") }
    for name in plan.dropped { Terminal.put("  \(name) (dropped)") }
    for name in plan.kept { Terminal.put("  \(name) (kept as the adapter's)") }
    Terminal.put("would copy \(Text.count(plan.copied, "tensor"))")
  }

  func show(_ report: UnmergeReport, seconds: Double) {
    if !report.exact {
      Terminal.tell(
        "note: there is no undo record, so this is not the base bit for bit: an element w of W0 may "
          + "differ by up to ulp(w')/2 + ulp(w)/2, w' the merged one (divided by the factor, where "
          + "there is one); merge --undo leaves a record")
    }
    if !report.kept.isEmpty {
      Terminal.tell(
        "warning: \(Text.count(report.kept.count, "tensor")) that the adapter replaced stay as they "
          + "are: \(Failure.list(report.kept))")
    }
    if output.json {
      Terminal.putJSON([
        "restored": .int(report.restored),
        "exact": .bool(report.exact),
        "copied": .int(report.copied),
        "dropped": .int(report.dropped),
        "kept": .array(report.kept.map { .string($0) }),
        "bytes_written": .int(report.bytesWritten),
        "seconds": .double((seconds * 1000).rounded() / 1000),
        "peak_memory_bytes": .int(ProcessMemory.peakBytes),
        "output_fingerprint": .string(report.fingerprint.description),
      ])
      return
    }
    guard !output.quiet else { return }
    let dropped =
      report.dropped == 0 ? "" : ", dropped \(Text.count(report.dropped, "tensor"))"
    Terminal.put(
      "restored \(Text.count(report.restored, "tensor"))\(report.exact ? " bit for bit" : "")"
        + "\(dropped), copied \(Text.grouped(report.copied)); wrote \(Text.bytes(report.bytesWritten)) "
        + "to \(report.output) in \(Text.duration(seconds)), peak memory "
        + Text.bytes(ProcessMemory.peakBytes))
  }
}
