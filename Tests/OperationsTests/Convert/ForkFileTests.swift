import Adapters
import Safetensors
import Testing

@testable import Operations

/// The files of MoRA's, SBoRA's and 1LoRA's authors, and ours.
@Suite struct ForkFileTests {
  private func convert(
    _ input: String, _ output: String, _ target: AdapterConversion.Target, base: String? = nil
  ) throws {
    _ = try AdapterConversion(input: input, output: output, target: target, base: base).run()
  }

  private func weights(_ folder: String) throws -> [String: StoredTensor] {
    try readModel(folder + "/adapter_model.safetensors")
  }

  @Test(arguments: [
    ("mora_2", AdapterConversion.Target.moraFork, "LORA"), ("sbora_fa", .sboraFork, "SBORA"),
    ("sbora_fb", .sboraFork, "SBORA"),
  ])
  func thereAndBack(_ name: String, _ target: AdapterConversion.Target, _ type: String) throws {
    let scratch = try Scratch()
    let own = Fixture.path("llama/" + name)
    try convert(own, scratch.file("fork"), target)
    try convert(scratch.file("fork"), scratch.file("back"), .native)
    #expect(try weights(scratch.file("back")) == weights(own))
    let (config, original) = try (
      AdapterFile(path: scratch.file("back")).config.json, AdapterFile(path: own).config.json
    )
    for key in original.keys { #expect(config[key] == original[key], "\(key)") }
    #expect(try AdapterFile(path: scratch.file("fork")).config.peftType == type)
    let scales = { try AdapterInspection(path: $0, base: nil).modules.map(\.scale) }
    #expect(try scales(scratch.file("fork")) == scales(own))
  }

  /// The fork stores M under both names.
  @Test func namesOfMoRA() throws {
    let scratch = try Scratch()
    try convert(Fixture.path("llama/mora_fork_6"), scratch.file("own"), .native)
    let fork = try weights(Fixture.path("llama/mora_fork_6"))
    let own = try weights(scratch.file("own"))
    #expect(own.count * 2 == fork.count)
    for (name, tensor) in own {
      #expect(fork[name.dropLast("mora_M".count) + "lora_A.weight"] == tensor)
    }
    let config = try AdapterFile(path: scratch.file("own")).config
    #expect(config.peftType == "MORA" && config.json["use_mora"] == nil)
    #expect(config.json["mora_type"] == 6)
  }

  @Test func namesOfSBoRA() throws {
    let scratch = try Scratch()
    try convert(Fixture.path("llama/sbora_fb"), scratch.file("fork"), .sboraFork)
    let config = try AdapterFile(path: scratch.file("fork")).config.json
    #expect(config["adapter_name"] == "sbora_fb" && config["variant"] == nil)
    let leaves = Set(try weights(scratch.file("fork")).keys.map { $0.hasSuffix(".lora_B") })
    #expect(leaves == [true, false])
  }

  /// The listing's file is the whole model; the adapter comes out of it again.
  @Test func listingOfOneLoRA() throws {
    let scratch = try Scratch()
    let (own, base) = (Fixture.path("llama/1lora"), Fixture.path("llama/base"))
    try convert(own, scratch.file("model.safetensors"), .oneLoRAListing, base: base)
    try convert(scratch.file("model.safetensors"), scratch.file("back"), .folder)
    #expect(try weights(scratch.file("back")) == weights(own))
    let (model, original) = try (
      readModel(scratch.file("model.safetensors")), readModel(base)
    )
    #expect(try model.count == original.count + weights(own).count)
    for (name, tensor) in original {
      let wrapped = name.dropLast("weight".count) + "linear.weight"
      #expect((model[name] ?? model[String(wrapped)]) == tensor)
    }
  }

  @Test func whatForksDoNotHave() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.write(
      scratch.file("a"), config: ["peft_type": "MORA", "r": 1, "mora_type": "truncation"],
      tensors: ["base_model.model.q.mora_M": .f32([1, 1], [1])])
    for target in [
      AdapterConversion.Target.moraFork, .sboraFork, .oneLoRAListing,
    ] {
      #expect(throws: ConversionError.self) {
        try convert(scratch.file("a"), scratch.file("out"), target)
      }
    }
    #expect(scratch.names == ["a"])
  }
}
