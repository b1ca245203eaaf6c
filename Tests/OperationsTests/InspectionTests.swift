import Safetensors
import Testing

@testable import Operations

/// Counts as PEFT's `print_trainable_parameters` gives them for the same adapters.
@Suite struct InspectionTests {
  @Test(arguments: [
    ("llama/lora", 7808, 92096), ("llama/dora", 8768, 93056),
    ("llama/lora_modules_to_save", 9216, 93504), ("llama/lora_embed", 1792, 86080),
    ("llama/trainable_tokens", 1216, 85504), ("qwen/lora_modules_to_save", 6144, 53424),
    ("bert/lora_bias_all", 2467, 46339), ("gpt2/lora_bias", 1824, 65856),
    ("gpt2/lora_lorabias", 1824, 66144), ("mixtral/lora_params", 3584, 53152),
    ("vit/dora", 6290, 48012), ("llama/prompt", 384, 84672), ("llama/prefix", 640, 84928),
  ])
  func counts(_ name: String, _ trainable: Int, _ all: Int) throws {
    let inspection = try AdapterInspection(
      path: Fixture.path(name), base: Fixture.base(of: name))
    #expect(inspection.trainableParameters == trainable)
    #expect(inspection.fit?.allParameters == all)
    #expect(inspection.isSound)
    #expect(inspection.fit?.untouchedTargets == [])
  }

  @Test func untouchedTargets() throws {
    let scratch = try Scratch()
    let tensor = StoredTensor.f32([4, 4], Array(repeating: 1, count: 16))
    try writeModel(
      scratch.file("base"), config: [:],
      ["m.layers.0.q.weight": tensor, "m.layers.1.q.weight": tensor, "m.v.weight": tensor])
    try SyntheticAdapter.ones(
      scratch.file("adapter"), modules: [("m.layers.0.q", 4, 4)], config: ["target_modules": ["q"]])
    let inspection = try AdapterInspection(
      path: scratch.file("adapter"), base: scratch.file("base"))
    #expect(inspection.fit?.untouchedTargets == ["m.layers.1.q"])
    #expect(inspection.isSound)
  }

  /// Elements that are no numbers make an adapter unsound; a zero `lora_B` is worth a word.
  @Test func valuesOfAdapters() throws {
    let scratch = try Scratch()
    func inspect(_ b: [Float]) throws -> AdapterInspection {
      try SyntheticAdapter.write(
        scratch.file("a"), config: ["peft_type": "LORA", "r": 1, "lora_alpha": 1],
        tensors: [
          "base_model.model.q.lora_A.weight": .bf16([1, 2], [1, 2]),
          "base_model.model.q.lora_B.weight": .bf16([3, 1], b),
        ])
      return try AdapterInspection(path: scratch.file("a"), base: nil)
    }
    #expect(try inspect([0, -0.0, 1]).idleModules == [])
    let idle = try inspect([0, -0.0, 0])
    #expect(idle.idleModules == ["q"] && idle.isSound)
    #expect(
      try inspect([1, 2, .nan]).problems
        == [.notFinite(tensor: "base_model.model.q.lora_B.weight", index: 2)])
    #expect(try !inspect([1, .infinity, 1]).isSound)
  }
}
