import ArgumentParser
import Operations
import Safetensors

struct DequantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dequantize",
    abstract: "Restore a quantized model in 16 or 32 bits.",
    discussion: """
      Every weight becomes what bitsandbytes decodes it to, bit for bit, in the type that it had \
      before it was quantized.
      """)

  @Argument(help: ArgumentHelp("The quantized model.", valueName: "MODEL"))
  var model: String

  @Argument(help: ArgumentHelp("The output.", valueName: "OUT"))
  var out: String

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let start = ContinuousClock.now
    var request = DequantizeRequest(model: model, output: out, threads: writing.workers)
    request.element = writing.dtype.element
    request.maximumShardSize = writing.maximumShardSize?.bytes
    request.replacing = writing.force
    let plan = try DequantizePlan(request)
    if writing.dryRun {
      show(plan, seconds: nil)
      return
    }
    try ProgressBar.run("restoring", isWanted: !output.quiet && !output.noProgress) {
      try DequantizeOperation(plan).run(progress: $0)
    }
    show(plan, seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  private func show(_ plan: DequantizePlan, seconds: Double?) {
    if output.json {
      var object: JSONObject = [
        "dequantized": .int(plan.unpacked.count), "copied": .int(plan.copied),
        "files": .array(plan.files.map { .string($0) }),
        (seconds == nil ? "bytes" : "bytes_written"): .int(plan.bytes),
      ]
      if let seconds {
        object["seconds"] = .double((seconds * 1000).rounded() / 1000)
      } else {
        object["dry_run"] = true
      }
      Terminal.putJSON(.object(object))
    } else if let seconds {
      guard !output.quiet else { return }
      Terminal.put(
        "restored \(Text.count(plan.unpacked.count, "weight")), copied \(Text.grouped(plan.copied)); "
          + "wrote \(Text.bytes(plan.bytes)) to \(out) in \(Text.duration(seconds)), peak memory "
          + Text.bytes(ProcessMemory.peakBytes))
    } else {
      Terminal.put("would write \(out): \(Text.bytes(plan.bytes))")
      for file in plan.files { Terminal.put("  \(file)") }
      Terminal.put(
        "would restore \(Text.count(plan.unpacked.count, "weight")) and copy "
          + Text.count(plan.copied, "tensor"))
    }
  }
}
