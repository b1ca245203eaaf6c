import Adapters
import Foundation
import Safetensors
import Testing

@testable import Operations

/// `--to lora`: the plain LoRA merges to what the method itself merges to.
@Suite struct LowRankExportTests {
  private func merge(_ base: String, _ adapter: String, _ out: String) throws {
    _ = try MergeOperation(
      MergePlan(
        MergeRequest(
          base: base, adapters: [WeightedAdapter(path: adapter)], output: out, threads: 1))
    ).run()
  }

  /// The largest distance between the two merges, in neighbouring floats of the stored type.
  private func distance(
    _ name: String, base baseName: String? = nil, scratch: Scratch
  ) throws -> Int {
    let base = baseName ?? Fixture.base(of: name)
    let adapter = name.hasPrefix("/") ? name : Fixture.path(name)
    _ = try AdapterConversion(
      input: adapter, output: scratch.file("lora"), target: .lora, base: base
    ).run()
    try merge(base, adapter, scratch.file("own"))
    try merge(base, scratch.file("lora"), scratch.file("exported"))
    let own = try readModel(scratch.file("own"))
    let exported = try readModel(scratch.file("exported"))
    #expect(Set(own.keys) == Set(exported.keys))
    var largest = 0
    for (name, tensor) in own {
      let other = try #require(exported[name])
      for (a, b) in zip(tensor.places, other.places) { largest = max(largest, abs(a - b)) }
    }
    return largest
  }

  @Test(arguments: [
    "llama/1lora", "llama/1lora_learned", "llama/mora_2", "llama/sbora_fa", "llama/sbora_fb",
    "llama/vera", "llama/vera_noproj", "llama/lora", "llama/dora", "llama/lora_rslora",
    "llama/lora_patterns", "llama/lora_modules_to_save", "llama/trainable_tokens",
    "bert/lora_bias_all", "gpt2/lora_lorabias", "mixtral/lora_params",
  ])
  func mergesToTheSameBits(_ name: String) throws {
    #expect(try distance(name, scratch: Scratch()) == 0)
  }

  /// Factors of 1LoRA: B is b, A is ones, α = r = 1.
  @Test func factorsOfOneLoRA() throws {
    let scratch = try Scratch()
    _ = try AdapterConversion(
      input: Fixture.path("llama/1lora"), output: scratch.file("lora"), target: .lora,
      base: Fixture.path("llama/base")
    ).run()
    let file = try AdapterFile(path: scratch.file("lora"))
    #expect(file.config.peftType == "LORA")
    #expect(file.config.json["r"] == 1 && file.config.json["lora_alpha"] == 1)
    #expect(file.config.json["rank_pattern"] == .object([:]))
    let own = try readModel(Fixture.path("llama/1lora/adapter_model.safetensors"))
    let tensors = try readModel(scratch.file("lora/adapter_model.safetensors"))
    #expect(tensors.count == 2 * own.count)
    for (name, b) in own {
      let module = name.dropLast("onelora_b".count)
      let factor = try #require(tensors[module + "lora_B.weight"])
      #expect(factor.shape == [b.shape[0], 1] && factor.bytes == b.bytes)
      let ones = try #require(tensors[module + "lora_A.weight"])
      #expect(ones.shape[0] == 1 && ones.values.allSatisfy { $0 == 1 })
    }
  }

  /// Modules of 1LoRA with β and a trained norm: β becomes LoRA's bias, the norm `modules_to_save`.
  @Test func biasAndNorm() throws {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("base"), config: [:],
      [
        "m.q.weight": .f32([2, 3], [1, 2, 3, 4, 5, 6]), "m.q.bias": .f32([2], [0.5, 1]),
        "m.norm.weight": .f32([3], [1, 1, 1]),
      ])
    try SyntheticAdapter.write(
      scratch.file("adapter"),
      config: ["peft_type": "ONELORA", "train_bias": true, "train_norms": true],
      tensors: [
        "base_model.model.m.q.onelora_b": .f32([2], [0.25, -2]),
        "base_model.model.m.q.bitfit_bias": .f32([2], [3, 4]),
        "base_model.model.m.norm.weight": .f32([3], [2, 3, 4]),
      ])
    #expect(
      try distance(scratch.file("adapter"), base: scratch.file("base"), scratch: scratch) == 0)
    let config = try AdapterFile(path: scratch.file("lora")).config.json
    #expect(config["lora_bias"] == true)
    #expect(config["modules_to_save"] == ["m.norm"])
    let merged = try readModel(scratch.file("exported"))
    #expect(merged["m.q.weight"]?.values == [1.25, 2.25, 3.25, 2, 3, 4])
    #expect(merged["m.q.bias"]?.values == [3.5, 5])
    #expect(merged["m.norm.weight"]?.values == [2, 3, 4])
  }

  /// lora_E is multiplied into A.
  @Test func middleFactor() throws {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("base"), config: [:],
      ["m.q.weight": .f32([3, 4], Array(repeating: 1, count: 12))])
    try SyntheticAdapter.write(
      scratch.file("adapter"),
      config: ["peft_type": "LORASYM", "r": 2, "lora_alpha": 4],
      tensors: [
        "base_model.model.m.q.lora_A.weight": .f32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
        "base_model.model.m.q.lora_E.weight": .f32([2, 2], [0, 1, 2, 0]),
        "base_model.model.m.q.lora_B.weight": .f32([3, 2], [1, 0, 0, 1, 1, 1]),
      ])
    #expect(
      try distance(scratch.file("adapter"), base: scratch.file("base"), scratch: scratch) == 0)
    let a = try readModel(scratch.file("lora/adapter_model.safetensors"))[
      "base_model.model.m.q.lora_A.weight"]
    #expect(a?.values == [5, 6, 7, 8, 2, 4, 6, 8])
    #expect(try AdapterFile(path: scratch.file("lora")).config.json["lora_alpha"] == 4)
  }

  /// What has no equivalent is refused and leaves nothing behind.
  @Test(arguments: ["llama/mora_fork_6", "llama/prompt"])
  func noEquivalent(_ name: String) throws {
    let scratch = try Scratch()
    #expect {
      try AdapterConversion(
        input: Fixture.path(name), output: scratch.file("lora"), target: .lora,
        base: Fixture.base(of: name)
      ).run()
    } throws: { error in
      if case ConversionError.noEquivalent? = error as? ConversionError { true } else { false }
    }
    #expect(scratch.names == [])
  }

  @Test func shapesNeedTheBase() throws {
    let scratch = try Scratch()
    #expect {
      try AdapterConversion(
        input: Fixture.path("llama/1lora"), output: scratch.file("lora"), target: .lora
      ).run()
    } throws: { error in
      if case ConversionError.needsBase? = error as? ConversionError { true } else { false }
    }
  }

  /// The official SBoRA fork's names: the index stands in the place of a factor.
  @Test(arguments: [
    ("sbora_fa", "lora_A", "lora_B.weight"), ("sbora_fb", "lora_B", "lora_A.weight"),
  ])
  func forkOfSBoRA(_ name: String, _ index: String, _ factor: String) throws {
    let scratch = try Scratch()
    let own = Fixture.path("llama/" + name)
    var tensors: [String: StoredTensor] = [:]
    for (name, tensor) in try readModel(own + "/adapter_model.safetensors") {
      let leaf = name.hasSuffix("sbora_index") ? index : factor
      let module = name[...(name.lastIndex(of: ".") ?? name.startIndex)]
      tensors[module + leaf] = tensor
    }
    try SyntheticAdapter.write(
      scratch.file("fork"),
      config: ["peft_type": "SBORA", "adapter_name": .string(name), "r": 4, "lora_alpha": 8],
      tensors: tensors)
    try merge(Fixture.path("llama/base"), own, scratch.file("a"))
    try merge(Fixture.path("llama/base"), scratch.file("fork"), scratch.file("b"))
    #expect(try readModel(scratch.file("a")) == readModel(scratch.file("b")))
  }
}
