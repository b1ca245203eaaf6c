import Adapters
import Foundation
import Safetensors
import Testing

@testable import Operations

/// What stands beside the tensors: names, patterns, metadata, settings.
@Suite struct ForeignSettingsTests {
  private func convert(
    _ input: String, _ output: String, _ target: AdapterConversion.Target? = nil,
    base: String? = nil, prefix: String? = nil
  ) throws -> AdapterConversion.Report {
    try AdapterConversion(
      input: input, output: output, target: target, base: base, prefix: prefix
    ).run()
  }

  private func config(_ path: String) throws -> JSONObject {
    try AdapterFile(path: path).config.json
  }

  /// Where an adapter belongs and how it was trained is kept by formats without a configuration.
  @Test(arguments: [AdapterConversion.Target.kohya, .diffusers, .mlx])
  func settingsAreKept(_ target: AdapterConversion.Target) throws {
    let scratch = try Scratch()
    let own = Fixture.path("gpt2/lora")
    _ = try convert(own, scratch.file("f.safetensors"), target)
    _ = try convert(
      scratch.file("f.safetensors"), scratch.file("back"), base: Fixture.path("gpt2/base"))
    let (original, back) = try (config(own), config(scratch.file("back")))
    for key in [
      "base_model_name_or_path", "task_type", "fan_in_fan_out", "r",
      "lora_alpha", "lora_dropout",
    ] { #expect(back[key] == original[key], "\(key)") }
    let targets = [original, back].map {
      Set($0["target_modules"]?.array?.compactMap(\.string) ?? [])
    }
    #expect(targets[0] == targets[1])
  }

  /// Metadata of the trainer stays; hashes of the old file's bytes do not.
  @Test func metadataIsKept() throws {
    let scratch = try Scratch()
    let factor = StoredTensor.f32([2, 2], [1, 2, 3, 4])
    try writeModel(scratch.file("base"), config: [:], ["a.q.weight": factor])
    try writeFile(
      scratch.file("k.safetensors"),
      ["lora_unet_a_q.lora_down.weight": factor, "lora_unet_a_q.lora_up.weight": factor],
      metadata: ["ss_network_dim": "2", "sshs_model_hash": "00"])
    _ = try convert(
      scratch.file("k.safetensors"), scratch.file("c.safetensors"), base: scratch.file("base"))
    _ = try convert(scratch.file("c.safetensors"), scratch.file("back.safetensors"), .kohya)
    let metadata = try SafetensorsFile(path: scratch.file("back.safetensors")).header.metadata
    #expect(
      metadata == ["ss_network_dim": "2", "ss_network_module": "networks.lora"])
  }

  /// Adapters use the names in memory, which the checkpoint may not have.
  @Test func namesInMemory() throws {
    let scratch = try Scratch()
    let path = "vit.layers.0.attention.q_proj"
    try writeModel(
      scratch.file("base"), config: ["model_type": "vit"],
      ["vit.encoder.layer.0.attention.attention.query.weight": .f32([1, 1], [1])])
    try SyntheticAdapter.ones(scratch.file("a"), modules: [(path, 1, 1)])
    _ = try convert(scratch.file("a"), scratch.file("k.safetensors"), .kohya)
    _ = try convert(
      scratch.file("k.safetensors"), scratch.file("b"), base: scratch.file("base"))
    #expect(
      try AdapterInspection(path: scratch.file("b"), base: nil).modules.map(\.module) == [path])
  }

  /// A checkpoint of a whole pipeline: sd-scripts leaves out what stands before the model's names.
  @Test func namesOfPipelines() throws {
    let scratch = try Scratch()
    let factor = StoredTensor.f32([2, 2], [1, 2, 3, 4])
    let path = "model.diffusion_model.input_blocks.4.1.to_q"
    try writeModel(scratch.file("base"), config: [:], [path + ".weight": factor])
    let names = ["lora_down.weight", "lora_up.weight"].map {
      "lora_unet_input_blocks_4_1_to_q." + $0
    }
    try writeFile(scratch.file("k.safetensors"), [names[0]: factor, names[1]: factor])
    _ = try convert(
      scratch.file("k.safetensors"), scratch.file("b"), base: scratch.file("base"))
    #expect(
      try AdapterInspection(path: scratch.file("b"), base: nil).modules.map(\.module) == [path])
    _ = try convert(scratch.file("b"), scratch.file("back.safetensors"), .kohya)
    #expect(try Set(names).isSubset(of: readModel(scratch.file("back.safetensors")).keys))
  }

  @Test(arguments: [
    ("text_encoder.l.self_attn.to_out_lora.", "l.self_attn.out_proj"),
    ("text_encoder_2.l.self_attn.to_q_lora.", "l.self_attn.q_proj"),
    ("down.attn1.processor.to_v_lora.", "down.attn1.to_v"),
    ("diffusion_model.double_blocks.0.qkv.lora_", "double_blocks.0.qkv"),
  ])
  func olderNamesOfDiffusers(_ stem: String, _ module: String) throws {
    let leaves = stem.hasSuffix("lora_") ? ["A.weight", "B.weight"] : ["down.weight", "up.weight"]
    for leaf in leaves { #expect(Diffusers.parse(stem + leaf)?.module == module) }
  }

  /// A path that is the end of another, or differs from it only in a dot, needs a key of its own.
  @Test func patternKeys() {
    let keys = PatternKeys(paths: ["a.q", "b.a.q", "c.x.q", "c.x_q", "d.q"])
    #expect(keys.key(of: "a.q") == "^a\\.q")
    #expect(keys.key(of: "b.a.q") == "b.a.q")
    #expect(keys.key(of: "c.x.q") == "^c\\.x\\.q")
    #expect(keys.key(of: "d.q") == "d.q")
  }

  /// Overlapping patterns mean something else once sorted; the conversion says it module by module.
  @Test func overlappingPatterns() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.ones(
      scratch.file("a"), modules: [("l.0.q", 1, 1), ("l.1.q", 1, 1)],
      config: ["alpha_pattern": ["q": 3, "0.q": 5]])
    _ = try convert(scratch.file("a"), scratch.file("b"), .lora)
    for path in ["a", "b"] {
      #expect(
        try AdapterInspection(path: scratch.file(path), base: nil).modules.map(\.scale) == [3, 3])
    }
    #expect(
      try ConsumerAdvice.all(path: scratch.file("a"), for: .peft) == [
        .init(
          .overlappingPatterns(["l.0.q"]), .ignored, .convert(.lora, needsBase: false))
      ])
    #expect(try ConsumerAdvice.all(path: scratch.file("b"), for: .peft) == [])
  }

  /// α·√r of rsLoRA needs more digits than f32 has.
  @Test func alphaOfRootScale() throws {
    let tensor = Kohya.alpha("a", 6 * 3.0.squareRoot())
    #expect(tensor.dtype == .f64)
    #expect(
      try tensor.bytes().withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        == (6 * 3.0.squareRoot()).bitPattern.littleEndian)
    #expect(Kohya.alpha("a", 6).dtype == .f32)
    #expect(Kohya.alpha("a", 6, like: .bf16).dtype == .bf16)
    #expect(Kohya.alpha("a", 257, like: .bf16).dtype == .f32)
  }

  /// Tables of embeddings have factors in MLX too; copies of the base's are left out.
  @Test func embeddingsOfMLX() throws {
    let scratch = try Scratch()
    let table = StoredTensor.f32([3, 2], [1, 2, 3, 4, 5, 6])
    try writeModel(scratch.file("base"), config: [:], ["m.embed_tokens.weight": table])
    let factors = [
      "base_model.model.m.embed_tokens.lora_embedding_A": StoredTensor.f32([1, 3], [1, 2, 3]),
      "base_model.model.m.embed_tokens.lora_embedding_B": StoredTensor.f32([2, 1], [4, 5]),
    ]
    try SyntheticAdapter.write(
      scratch.file("a"), config: ["peft_type": "LORA", "r": 1, "lora_alpha": 2],
      tensors: factors.merging(["base_model.model.m.embed_tokens.base_layer.weight": table]) { $1 })
    #expect(throws: ConversionError.self) {
      try convert(scratch.file("a"), scratch.file("mlx"), .mlx)
    }
    _ = try convert(scratch.file("a"), scratch.file("mlx"), .mlx, base: scratch.file("base"))
    let tensors = try readModel(scratch.file("mlx/adapters.safetensors"))
    #expect(tensors["m.embed_tokens.lora_a"] == .f32([3, 1], [1, 2, 3]))
    #expect(tensors["m.embed_tokens.lora_b"] == .f32([1, 2], [4, 5]))
    _ = try convert(scratch.file("mlx"), scratch.file("back"))
    #expect(try readModel(scratch.file("back/adapter_model.safetensors")) == factors)
  }

  /// One scale for all: what had another is named, and rounded only where it must be.
  @Test func rescaledModules() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.ones(
      scratch.file("a"), modules: [("l.0.q", 1, 1), ("l.1.q", 1, 1), ("l.2.q", 1, 1)],
      config: ["alpha_pattern": ["2.q": 5]])
    #expect(try convert(scratch.file("a"), scratch.file("mlx"), .mlx).rescaled == ["l.2.q"])
    #expect(try convert(scratch.file("a"), scratch.file("k"), .kohya).rescaled == [])
  }

  @Test func dryRun() throws {
    let scratch = try Scratch()
    let report = try AdapterConversion(
      input: Fixture.path("llama/lora"), output: scratch.file("out"), target: .mlx, isDryRun: true
    ).run()
    #expect(report.tensors > 0 && scratch.names == [])
  }

  @Test func prefixesThatNobodyReads() throws {
    let scratch = try Scratch()
    for (target, prefix) in [(AdapterConversion.Target.kohya, "te"), (.diffusers, "image")] {
      #expect(throws: ConversionError.self) {
        try convert(Fixture.path("llama/lora"), scratch.file("out"), target, prefix: prefix)
      }
    }
    #expect(scratch.names == [])
  }

  /// PEFT's names without their configuration do not say the scale.
  @Test func namesOfPEFTAlone() throws {
    let scratch = try Scratch()
    let name = "base_model.model.q.lora_A.weight"
    try writeFile(scratch.file("x.safetensors"), [name: .f32([1, 1], [1])])
    #expect(
      throws: ConversionError.noConfiguration(path: scratch.file("x.safetensors"), tensor: name)
    ) { try convert(scratch.file("x.safetensors"), scratch.file("out")) }
  }

  @Test func anotherBase() throws {
    let scratch = try Scratch()
    #expect {
      try convert(
        Fixture.path("llama/lora"), scratch.file("out"), .lora, base: Fixture.path("gpt2/base"))
    } throws: { error in
      if case ConversionError.otherBase? = error as? ConversionError { true } else { false }
    }
  }

  /// A damaged file is named.
  @Test func damagedFile() throws {
    let scratch = try Scratch()
    let file = scratch.file("k.safetensors")
    try writeFile(file, ["lora_unet_q.lora_up.weight": .f32([2, 2], [1, 2, 3, 4])])
    let bytes = try InputFile(path: file).readAll()
    try Data(bytes.dropLast(3)).write(to: URL(filePath: file))
    #expect {
      try convert(file, scratch.file("out"))
    } throws: { error in
      if case CheckpointError.shard(path: file, _)? = error as? CheckpointError {
        true
      } else {
        false
      }
    }
    #expect(scratch.names == ["k.safetensors"])
  }
}
