import Foundation
import Kernels
import Safetensors
import Testing

@testable import Training

/// Prefix and prompt tuning compared with PEFT: logits, gradients, losses, and six steps of AdamW.
@Suite struct PromptTests {
  private func tensors(_ name: String) throws -> [String: AdapterTensor] {
    let path = PeerCase.root.deletingLastPathComponent().appending(
      path: "prompts/\(name).safetensors")
    let file = try SafetensorsFile(path: path.path)
    var result: [String: AdapterTensor] = [:]
    for info in file.header.tensors {
      result[info.name] = try #require(
        AdapterTensor(try file.read(info), dtype: info.dtype, shape: info.shape))
    }
    return result
  }

  @Test(arguments: ["llama", "gpt2"], ["prefix", "prompt"])
  func sixSteps(family: String, kind: String) throws {
    let peer = PeerCase(family: family, name: "lora")
    let expected = try tensors("\(family)-\(kind)")
    let start = try #require(expected["start"])
    let adapted = try AdaptedModel(
      try peer.plainModel(), adapters: [],
      additions: [kind == "prefix" ? .prefix(start) : .prompt(start)])
    let batch = try peer.batch()
    let input = try adapted.model.input(batch)

    let logits = try #require(expected["logits"])
    let tokens = batch.ids.indices.filter { batch.attentionMask[$0] != 0 }
    let width = logits.shape[2]
    let counted = input.rows.flatMap {
      logits.reals[tokens[$0] * width..<(tokens[$0] + 1) * width]
    }
    let difference = relativeDifference(adapted.model.logits(input), counted)
    #expect(difference < 1e-5, "logits differ by \(difference)")

    let parameters = adapted.parameters
    let count = Float(input.rows.count)
    let optimizer = try AdamW(
      count: parameters.values.count, groups: StepGroup.groups(of: parameters, weightDecay: 0.01))
    for (step, value) in try #require(expected["losses"]).reals.enumerated() {
      parameters.clearGradients()
      let loss = adapted.model.loss(input, factor: 1 / count) / Double(count)
      #expect(abs(loss - Double(value)) < 1e-4 * loss, "step \(step)")
      if step == 0 {
        let gradient = try #require(expected["gradient"])
        let difference = relativeDifference(parameters.gradients.values, gradient.reals)
        #expect(difference < 1e-4, "gradients differ by \(difference)")
      }
      optimizer.step(parameters, learningRate: 1e-2, pool: adapted.model.context.pool)
      adapted.parametersChanged()
    }
    let final = relativeDifference(
      parameters.values.values, try #require(expected["final"]).reals)
    #expect(final < 1e-3, "the embeddings differ by \(final)")
  }
}
