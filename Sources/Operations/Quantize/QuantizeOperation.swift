import Adapters
import Kernels
import Safetensors

/// Quantizes a model: the output appears whole, or not at all.
public struct QuantizeOperation: Sendable {
  public let request: QuantizeRequest

  public init(_ request: QuantizeRequest) {
    self.request = request
  }

  public func run(progress: ProgressReport? = nil) throws -> QuantizeReport {
    // What is there already is found before the weights are read.
    if !request.replacing, FileSystem.exists(request.output) {
      throw FileError.alreadyExists(request.output)
    }
    let plan = try QuantizePlan(request, progress: progress)
    progress?.expect((progress?.written ?? 0) + plan.bytes)
    try ModelWriting(
      model: plan.model, config: plan.config, source: request.model, output: request.output,
      replacing: request.replacing, threads: request.threads
    ).run(progress: progress)
    let tensors = plan.layers.sorted { NaturalOrder.precedes($0.name, $1.name) }.map { layer in
      let error = layer.losses.error
      return QuantizeReport.Tensor(
        name: layer.name, rootMeanSquareError: error.rootMeanSquare, largestError: error.largest,
        relativeError: error.relative)
    }
    return QuantizeReport(
      output: request.output, tensors: tensors, kept: plan.kept,
      bitsPerParameter: plan.bitsPerParameter, bytesRead: plan.bytesRead, bytesWritten: plan.bytes)
  }
}
