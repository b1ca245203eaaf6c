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
      try advice("llama/lora_rslora", .llamaCpp) == [
        .init(.rootScale, .ignored, .uniform(needsBase: false))
      ])
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

  /// What looks like LoRA and is not, or has no place in a server.
  @Test func whatIsNoPlainSum() throws {
    let scratch = try Scratch()
    func advice(_ config: JSONObject, _ consumer: Consumer) throws -> [ConsumerAdvice] {
      try SyntheticAdapter.ones(scratch.file("a"), modules: [("l.0.q", 1, 1)], config: config)
      return try ConsumerAdvice.all(path: scratch.file("a"), for: consumer)
    }
    let activated: JSONObject = ["alora_invocation_tokens": [1, 2]]
    #expect(try advice(activated, .llamaCpp) == [])
    #expect(try advice(activated, .vllm).map(\.effect) == [.ignored])
    #expect(try advice(activated, .mlx).map(\.effect) == [.refused])
    for consumer in [Consumer.vllm, .llamaCpp, .mlx] {
      #expect(
        try advice(["init_lora_weights": "pissa"], consumer)
          == [.init(.changedBase(start: "pissa"), .ignored, .merge)])
      #expect(
        try advice(["init_lora_weights": "loftq"], consumer)
          == [.init(.changedBase(start: "loftq"), .ignored, .none)])
      #expect(
        try advice(["layer_replication": [[0, 1], [0, 1]]], consumer)
          == [.init(.replication, .refused, .merge)])
    }
    #expect(try advice(["init_lora_weights": "pissa"], .peft) == [])
  }

  @Test func convolutionsAndCopies() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.write(
      scratch.file("conv"), config: ["peft_type": "LORA", "r": 1, "lora_alpha": 1],
      tensors: [
        "base_model.model.c.lora_A.weight": .f32([1, 2, 1, 1], [1, 2]),
        "base_model.model.c.lora_B.weight": .f32([2, 1, 1, 1], [1, 2]),
      ])
    for consumer in [Consumer.vllm, .llamaCpp, .mlx] {
      #expect(
        try ConsumerAdvice.all(path: scratch.file("conv"), for: consumer)
          == [.init(.convolutions(["c"]), .refused, .merge)])
    }
    let copies = try advice("llama/lora_embed", .vllm).map(\.cause)
    #expect(copies.contains { if case .copies = $0 { true } else { false } })
    #expect(
      try advice("llama/lora_embed", .mlx)
        == [.init(.otherFormat, .refused, .convert(.mlx, needsBase: true))])
  }

  /// Only settings that a conversion can leave out are reported, so that it settles them.
  @Test func settingsInUse() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.ones(
      scratch.file("a"), modules: [("l.0.q", 1, 1)],
      config: ["use_rslora": true, "use_dora": false, "eva_config": nil])
    #expect(
      try ConsumerAdvice.all(path: scratch.file("a"), for: .peft) == [
        .init(
          .newSettings(["eva_config", "use_dora"]), .refused, .convert(.lora, needsBase: false))
      ])
    _ = try AdapterConversion(
      input: scratch.file("a"), output: scratch.file("b"), target: .lora
    ).run()
    #expect(try ConsumerAdvice.all(path: scratch.file("b"), for: .peft) == [])
  }

  /// Files of other programs are nobody's but their own.
  @Test func foreignFiles() throws {
    let scratch = try Scratch()
    for (target, needsBase) in [(AdapterConversion.Target.kohya, true), (.mlx, false)] {
      let path = scratch.file(target.rawValue)
      _ = try AdapterConversion(
        input: Fixture.path("llama/lora"), output: path, target: target
      ).run()
      #expect(ForeignInspection(path: path)?.scheme.rawValue == target.rawValue)
      #expect(
        try ConsumerAdvice.all(path: path, for: .vllm).map(\.remedy)
          == [.convert(.lora, needsBase: needsBase)])
    }
    #expect(try ConsumerAdvice.all(path: scratch.file("mlx"), for: .mlx) == [])
    #expect(ForeignInspection(path: Fixture.path("llama/lora"))?.scheme == nil)
  }

  /// Ranks that differ from module to module would need patterns, which servers do not read.
  @Test func ranksOfMethods() throws {
    #expect(
      try advice("llama/mora_2", .llamaCpp)
        == [.init(.method("MoRA"), .refused, .uniform(needsBase: true))])
  }

  /// Names that PEFT would pass over with a warning; the conversion writes them as they should be.
  @Test(arguments: [
    ("base_model.model.q.lora_A.default.weight", [Consumer.peft, .vllm, .llamaCpp]),
    ("base_model.model._orig_mod.q.lora_A.weight", [.peft, .vllm, .llamaCpp]),
    ("q.lora_A.weight", [.peft]),
  ])
  func names(_ a: String, _ affected: [Consumer]) throws {
    let scratch = try Scratch()
    let b = String(a.map { $0 == "A" ? "B" : $0 })
    try SyntheticAdapter.write(
      scratch.file("a"), config: ["peft_type": "LORA", "r": 1, "lora_alpha": 1],
      tensors: [a: .f32([1, 1], [1]), b: .f32([1, 1], [2])])
    _ = try AdapterConversion(
      input: scratch.file("a"), output: scratch.file("b"), target: .lora
    ).run()
    for consumer in [Consumer.peft, .vllm, .llamaCpp] {
      let expected: [ConsumerAdvice] =
        affected.contains(consumer)
        ? [
          .init(
            .names([a, b]), consumer == .peft ? .ignored : .refused,
            .convert(.lora, needsBase: false))
        ] : []
      #expect(try ConsumerAdvice.all(path: scratch.file("a"), for: consumer) == expected)
      #expect(try ConsumerAdvice.all(path: scratch.file("b"), for: consumer) == [])
    }
  }

  /// vLLM looks at the configuration alone.
  @Test func savedModulesThatAreNot() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.ones(
      scratch.file("a"), modules: [("l.0.q", 1, 1)], config: ["modules_to_save": ["lm_head"]])
    #expect(
      try ConsumerAdvice.all(path: scratch.file("a"), for: .vllm)
        == [.init(.savedModules(["lm_head"]), .refused, .convert(.lora, needsBase: false))])
    _ = try AdapterConversion(
      input: scratch.file("a"), output: scratch.file("b"), target: .lora
    ).run()
    #expect(try ConsumerAdvice.all(path: scratch.file("b"), for: .vllm) == [])
  }
}
