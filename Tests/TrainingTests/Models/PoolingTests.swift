import Kernels
import Testing

@testable import Training

/// What a classifier of texts looks at.
@Suite struct PoolingTests {
  private let peer = PeerCase(family: "bert", name: "lora")

  /// The classifier is linear: its answer to the mean is the mean of its answers to the tokens.
  @Test func meanOfTheTokens() throws {
    let batch = try peer.batch()
    let mean = try peer.plainModel(pooling: .mean)
    let input = try mean.input(batch)
    #expect(input.pooled.count == batch.rows && input.rows.count == input.layout.tokens)
    let found = mean.logits(input)

    var everyToken = input
    everyToken.pooled = []
    let answers = mean.logits(everyToken)
    let outputs = mean.outputs
    for sequence in 0..<input.layout.sequences {
      let rows = input.layout.rows(of: sequence)
      for output in 0..<outputs {
        let sum = rows.reduce(0.0) { $0 + Double(answers[$1 * outputs + output]) }
        let expected = sum / Double(rows.count)
        #expect(abs(Double(found[sequence * outputs + output]) - expected) < 1e-5)
      }
    }
  }

  @Test func gradients() throws {
    let model = try peer.plainModel(pooling: .mean)
    let bias = try #require(model.blocks[0].attentionNorm.bias)
    let adapted = try AdaptedModel(model, adapters: [], tensors: [bias])
    let input = try model.input(try peer.batch())
    adapted.parameters.clearGradients()
    _ = model.loss(input, factor: 1)
    let values = adapted.parameters.values.values
    let gradients = Array(adapted.parameters.gradients.values)
    #expect(gradients.contains { abs($0) > 1e-3 })
    for index in stride(from: 0, to: values.count, by: 7) {
      let before = values[index]
      values[index] = before + 1e-2
      let above = model.loss(input)
      values[index] = before - 1e-2
      let below = model.loss(input)
      values[index] = before
      let expected = (above - below) / 2e-2
      #expect(abs(Double(gradients[index]) - expected) < 2e-4 + 2e-3 * abs(expected), "\(index)")
    }
  }

  @Test func onlyForTexts() {
    #expect(throws: ModelError.self) {
      try PeerCase(family: "llama", name: "lora").plainModel(pooling: .mean)
    }
    #expect(throws: ModelError.self) {
      try PeerCase(family: "vit", name: "lora").plainModel(pooling: .mean)
    }
  }
}
