import Safetensors
import Testing

@testable import Operations

@Suite struct ConsumerAdviceTests {
  private func advice(_ name: String, _ consumer: Consumer) throws -> [ConsumerAdvice] {
    try ConsumerAdvice.all(path: Fixture.path(name), for: consumer)
  }

  @Test func plainLoRA() throws {
    #expect(try advice("llama/lora", .vllm) == [])
    #expect(try advice("llama/lora", .llamaCpp) == [])
    #expect(
      try advice("llama/lora", .mlx)
        == [.init(.otherFormat, .refused, .convert(.mlx, needsBase: false))])
  }

  /// After the advised conversion nothing is left to say.
  @Test func conversionSettlesIt() throws {
    let found = try advice("llama/1lora", .vllm)
    #expect(found == [.init(.method("1LoRA"), .refused, .convert(.lora, needsBase: true))])
    let scratch = try Scratch()
    _ = try AdapterConversion(
      input: Fixture.path("llama/1lora"), output: scratch.file("lora"), target: .lora,
      base: Fixture.path("llama/base")
    ).run()
    for consumer in [Consumer.peft, .vllm, .llamaCpp] {
      #expect(try ConsumerAdvice.all(path: scratch.file("lora"), for: consumer) == [])
    }
  }

  @Test func whatServersRefuse() throws {
    for consumer in [Consumer.vllm, .llamaCpp] {
      #expect(try advice("llama/dora", consumer) == [.init(.magnitudes, .refused, .merge)])
      #expect(
        try advice("llama/lora_modules_to_save", consumer)
          == [.init(.wholeTensors(["base_model.model.lm_head.weight"]), .refused, .merge)])
      #expect(
        try advice("mixtral/lora_params", consumer).contains(.init(.parameters, .refused, .merge)))
      #expect(
        try advice("gpt2/lora_lorabias", consumer).contains(.init(.biases, .refused, .merge)))
    }
  }

  @Test func scalesThatGetLost() throws {
    #expect(try advice("llama/lora_rslora", .vllm) == [])
    #expect(
      try advice("llama/lora_rslora", .llamaCpp) == [.init(.rootScale, .ignored, .uniform)])
    for consumer in [Consumer.vllm, .llamaCpp] {
      let causes = try advice("llama/lora_patterns", consumer).map(\.cause)
      #expect(causes.contains { if case .scales = $0 { true } else { false } })
    }
  }

  /// One rank and one α: nothing is left to lose, and the model is the same.
  @Test(arguments: ["llama/lora_patterns", "llama/lora_rslora"])
  func uniformSettlesIt(_ name: String) throws {
    let scratch = try Scratch()
    _ = try AdapterConversion(
      input: Fixture.path(name), output: scratch.file("lora"), target: .lora, isUniform: true
    ).run()
    for consumer in [Consumer.peft, .vllm, .llamaCpp] {
      #expect(try ConsumerAdvice.all(path: scratch.file("lora"), for: consumer) == [])
    }
    let outputs = [Fixture.path(name), scratch.file("lora")].enumerated().map { index, adapter in
      (adapter, scratch.file("merged\(index)"))
    }
    for (adapter, out) in outputs {
      _ = try MergeOperation(
        MergePlan(
          MergeRequest(
            base: Fixture.base(of: name), adapters: [WeightedAdapter(path: adapter)], output: out,
            threads: 1))
      ).run()
    }
    let other = try readModel(outputs[1].1)
    var differing = 0
    for (name, tensor) in try readModel(outputs[0].1) {
      for (a, b) in zip(tensor.places, try #require(other[name]).places) where a != b {
        differing += 1
        // A scale that is no power of 2 is rounded into B: a tie may fall the other way.
        #expect(abs(a - b) <= 1)
      }
    }
    #expect(differing < 20)
  }

  @Test func rank() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.write(
      scratch.file("a"), config: ["peft_type": "LORA", "r": 20, "lora_alpha": 20],
      tensors: [
        "base_model.model.q.lora_A.weight": .f32([20, 1], Array(repeating: 1, count: 20)),
        "base_model.model.q.lora_B.weight": .f32([1, 20], Array(repeating: 1, count: 20)),
      ])
    #expect(
      try ConsumerAdvice.all(path: scratch.file("a"), for: .vllm)
        == [.init(.rank(20, limit: 16), .refused, .option("--max-lora-rank 32"))])
  }

  @Test func containersAndMethodsInPEFT() throws {
    let scratch = try Scratch()
    let file = scratch.file("a.safetensors")
    _ = try AdapterConversion(input: Fixture.path("llama/1lora"), output: file, target: nil).run()
    #expect(
      try ConsumerAdvice.all(path: file, for: .peft) == [
        .init(.container, .refused, .convert(.folder, needsBase: false)),
        .init(.method("1LoRA"), .refused, .convert(.lora, needsBase: true)),
      ])
    #expect(try advice("llama/vera", .peft) == [])
    #expect(
      try advice("llama/mora_fork_6", .peft) == [.init(.method("MoRA"), .refused, .merge)])
    #expect(try advice("llama/prompt", .vllm).map(\.remedy) == [.none])
  }
}
