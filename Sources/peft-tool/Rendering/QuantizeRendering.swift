import Operations
import Safetensors

/// What `quantize` says.
struct QuantizeRendering {
  let output: OutputOptions

  func show(_ plan: QuantizePlan) {
    if output.json {
      Terminal.putJSON([
        "dry_run": true,
        "quantized": .int(plan.quantized.count),
        "kept": .int(plan.kept),
        "bits_per_parameter": .double(plan.bitsPerParameter),
        "bytes_in": .int(plan.bytesRead),
        "bytes_out": .int(plan.bytes),
        "tensors": .array(plan.quantized.map { ["tensor": .string($0)] }),
        "files": .array(plan.files.map { .string($0) }),
      ])
      return
    }
    Terminal.put(
      "would write \(plan.request.output): about \(Text.bytes(plan.bytes)), from "
        + Text.bytes(plan.bytesRead))
    for file in plan.files { Terminal.put("  \(file)") }
    Terminal.put(
      "would quantize \(Text.count(plan.quantized.count, "weight")) to "
        + "\(plan.request.scheme.kind.rawValue), "
        + "\(Text.fixed(plan.bitsPerParameter, 3)) bits each parameter:")
    for name in plan.quantized { Terminal.put("  \(name)") }
    Terminal.put("would keep \(Text.count(plan.kept, "tensor"))")
  }

  func show(_ report: QuantizeReport, seconds: Double) {
    if output.json {
      Terminal.putJSON(json(report, seconds: seconds))
      return
    }
    guard !output.quiet else { return }
    if output.verbose {
      var table = Table([
        ("tensor", .left), ("rms error", .right), ("largest", .right), ("relative", .right),
      ])
      for tensor in report.tensors {
        table.add([
          tensor.name, Text.fixed(tensor.rootMeanSquareError, 6),
          Text.fixed(tensor.largestError, 6), Text.percent(tensor.relativeError),
        ])
      }
      for line in table.lines { Terminal.put(line) }
    }
    Terminal.put(
      "quantized \(Text.count(report.tensors.count, "weight")) at "
        + "\(Text.fixed(report.bitsPerParameter, 3)) bits each parameter, kept "
        + "\(Text.grouped(report.kept)); wrote \(Text.bytes(report.bytesWritten)) (from "
        + "\(Text.bytes(report.bytesRead))) to \(report.output) in \(Text.duration(seconds)), peak "
        + "memory \(Text.bytes(ProcessMemory.peakBytes))")
    if let worst = report.tensors.max(by: { $0.relativeError < $1.relativeError }) {
      Terminal.put(
        "relative error at most \(Text.percent(worst.relativeError)), in \(worst.name)")
    }
  }

  private func json(_ report: QuantizeReport, seconds: Double) -> JSONValue {
    [
      "quantized": .int(report.tensors.count),
      "kept": .int(report.kept),
      "bits_per_parameter": .double(report.bitsPerParameter),
      "bytes_in": .int(report.bytesRead),
      "bytes_out": .int(report.bytesWritten),
      "tensors": .array(
        report.tensors.map { tensor in
          [
            "tensor": .string(tensor.name),
            "rms_error": .double(tensor.rootMeanSquareError),
            "max_error": .double(tensor.largestError),
          ]
        }),
      "seconds": .double((seconds * 1000).rounded() / 1000),
      "peak_memory_bytes": .int(ProcessMemory.peakBytes),
    ]
  }
}
