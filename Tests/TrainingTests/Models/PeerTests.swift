import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Training

/// Training runs compared with transformers and PEFT: logits, gradients, losses, and the adapter after
/// six steps of AdamW.
@Suite struct PeerTests {
  /// The peer's logits of the rows that count here; the peer also computes those of padding.
  private func expectedLogits(_ peer: PeerCase, rows: [Int], batch: Batch) throws -> [Float] {
    let logits = try #require(try peer.tensors("logits_step0.safetensors")["logits"])
    guard logits.shape.count == 3 else { return logits.reals }
    let tokens = batch.ids.indices.filter { batch.attentionMask[$0] != 0 }
    let width = logits.shape[2]
    return rows.flatMap { logits.reals[tokens[$0] * width..<(tokens[$0] + 1) * width] }
  }

  @Test(arguments: PeerCase.all)
  func firstStep(peer: PeerCase) throws {
    let adapted = try peer.model()
    let batch = try peer.batch()
    let input = try adapted.model.input(batch)
    let logits = adapted.model.logits(input)
    let difference = relativeDifference(
      logits, try expectedLogits(peer, rows: input.rows, batch: batch))
    #expect(difference < 1e-5, "logits differ by \(difference)")

    let count = Float(input.rows.count)
    let loss = adapted.model.loss(input, factor: 1 / count) / Double(count)
    #expect(abs(loss - (try peer.losses()[0])) < 1e-5)

    let entries = Dictionary(
      uniqueKeysWithValues: adapted.parameters.entries.map { ($0.name, $0) })
    let expected = try peer.tensors("grads_step0.safetensors")
    #expect(entries.count == expected.count)
    let largest = expected.values.flatMap(\.reals).map(abs).max() ?? 0
    for (name, tensor) in expected {
      let entry = try #require(entries[PeerCase.plain(name)], "\(name)")
      let found = adapted.parameters.gradients.values[entry.range]
      // A key's bias has no influence: its gradient is rounding, here and there.
      let difference = relativeDifference(found, tensor.reals, floor: largest * 1e-4)
      #expect(difference < 1e-4, "\(name) differs by \(difference)")
    }
  }

  @Test(arguments: PeerCase.all)
  func sixSteps(peer: PeerCase) throws {
    let adapted = try peer.model()
    let input = try adapted.model.input(try peer.batch())
    let count = Float(input.rows.count)
    let parameters = adapted.parameters
    let optimizer = try AdamW(
      count: parameters.values.count,
      groups: StepGroup.groups(of: parameters, weightDecay: 0.01))
    for expected in try peer.losses() {
      parameters.clearGradients()
      let loss = adapted.model.loss(input, factor: 1 / count) / Double(count)
      #expect(abs(loss - expected) < 1e-4 * expected)
      optimizer.step(parameters, learningRate: 1e-2, pool: adapted.model.context.pool)
      adapted.parametersChanged()
    }
    let entries = Dictionary(
      uniqueKeysWithValues: parameters.entries.map { ($0.name, $0) })
    for (name, tensor) in try peer.tensors("final/adapter_model.safetensors") {
      guard let entry = entries[PeerCase.plain(name)], !name.contains("original_module"),
        // AdamW makes whole steps of a gradient that is nothing but rounding.
        !name.hasSuffix("self.key.bias")
      else { continue }
      let difference = relativeDifference(parameters.values.values[entry.range], tensor.reals)
      #expect(difference < 1e-3, "\(name) differs by \(difference)")
    }
  }
}
