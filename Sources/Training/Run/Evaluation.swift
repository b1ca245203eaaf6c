import Kernels

/// How good a model is on held-out examples.
public struct Evaluation: Equatable, Sendable {
  /// The mean loss of all predictions.
  public var loss: Double
  /// The share of a classifier's examples that it puts in the right class; nil for a language model.
  public var accuracy: Double?
}

extension Evaluation {
  /// Runs `model` over all batches, without dropout.
  init(of model: TransformerModel, on loader: BatchLoader) throws {
    model.context.dropout = nil
    var (sum, count, right) = (0.0, 0, 0)
    var batches = loader.batches(epoch: 0)
    while let batch = try batches.next() {
      guard batch.lossCount > 0 else { continue }
      let input = try model.input(batch)
      count += input.targetCount
      guard model.task != .languageModel, case .classes(let classes) = input.targets else {
        sum += model.loss(input)
        continue
      }
      let logits = model.logits(input)
      for (row, label) in classes.enumerated() {
        let scores = logits[row * model.outputs..<(row + 1) * model.outputs]
        let (loss, best) = Self.compare(scores, with: Int(label))
        sum += loss
        right += best ? 1 : 0
      }
    }
    guard count > 0 else { throw ModelError.noTargets }
    loss = sum / Double(count)
    accuracy = model.task == .languageModel ? nil : Double(right) / Double(count)
  }

  /// Cross-entropy in f64, and whether the label has the highest score; of equal scores the first counts.
  private static func compare(
    _ scores: ArraySlice<Float>, with label: Int
  ) -> (loss: Double, isBest: Bool) {
    let highest = scores.max() ?? 0
    let sum = scores.reduce(0) { $0 + ReproducibleMath.exponential(Double($1 - highest)) }
    let score = scores[scores.startIndex + label]
    let loss = ReproducibleMath.logarithm(sum) - Double(score - highest)
    return (loss, scores.firstIndex(of: highest) == scores.startIndex + label)
  }
}
