import Adapters
import Operations
import Safetensors

extension TrainingRequest {
  /// Trainable parameters and memory of the run, from the headers of the base and the lengths of the data.
  public func estimate() throws -> EstimateReport {
    var estimate = EstimateRequest(
      method: method, rank: rank, targets: targets,
      quantization: quantization.flatMap { BaseQuantization(rawValue: $0.kind.rawValue) },
      sequenceLength: sequenceLength, batchSize: batchSize, settings: settings)
    estimate.recomputesBlocks = recomputesBlocks
    let shapes = try ModelShapes(path: base)
    estimate.step = try largestStep(longest: try estimate.report(shapes).sequenceLength)
    var report = try estimate.report(shapes)
    switch optimizer {
    case .adamw: break
    // Two codes of a byte for each number; the constants of the blocks are few.
    case .adamw8bit: report.memory.optimizer /= 4
    case .sgd: report.memory.optimizer = momentum > 0 ? report.memory.optimizer / 2 : 0
    }
    return report
  }

  /// Batches of which the lengths are looked at.
  private static let batchesRead = 512

  /// The largest of the first batches; nil for images, which all have as many tokens.
  private func largestStep(longest: Int) throws -> EstimateRequest.StepSize? {
    let (base, labels) = try openBase()
    let purpose = try TransformerModel.purpose(of: base, stated: purpose)
    if purpose == .imageClassify { return nil }
    let data = try TrainingData(self, purpose: purpose, longest: longest, labels: labels)
    var batches = data.training.batches(epoch: 0)
    var largest = EstimateRequest.StepSize(tokens: 0, targets: 0)
    for _ in 0..<batchesToRead {
      guard let batch = try batches.next() else { break }
      largest.tokens = max(largest.tokens, batch.tokenCount)
      let targets = pooling == .mean ? batch.tokenCount : batch.lossCount
      largest.targets = max(largest.targets, targets)
    }
    return largest
  }

  private var batchesToRead: Int {
    guard case .steps(let steps) = length else { return Self.batchesRead }
    return min(steps * accumulation, Self.batchesRead)
  }

  /// The base, with the classes of the data in its configuration where it has no head for them.
  func openBase() throws -> (BaseModel, labels: [String]) {
    let base = try BaseModel(path: self.base)
    guard var config = base.config else {
      throw ModelError.missingConfiguration(path: self.base)
    }
    let hasHead = base.tensors.contains {
      ["classifier.weight", "score.weight"].contains($0.name)
    }
    let labels = try LabelNames.find(in: base, data: data, hasHead: hasHead)
    guard !hasHead else { return (base, labels) }
    var names = JSONObject()
    for (id, name) in labels.enumerated() { names[String(id)] = .string(name) }
    config["id2label"] = .object(names)
    config["num_labels"] = .null
    return (base.replacingConfig(config), labels)
  }
}
