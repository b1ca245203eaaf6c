import Adapters
import Foundation
import Safetensors
import Testing

@testable import Operations

@Suite struct ForeignFormatTests {
  private func convert(
    _ input: String, _ output: String, _ target: AdapterConversion.Target? = nil,
    prefix: String? = nil, base: String? = Fixture.path("llama/base")
  ) throws {
    _ = try AdapterConversion(
      input: input, output: output, target: target, base: base, prefix: prefix
    ).run()
  }

  private func weights(_ folder: String) throws -> [String: StoredTensor] {
    try readModel(folder + "/adapter_model.safetensors")
  }

  /// Effective scales by module.
  private func scales(_ path: String) throws -> [String: Double] {
    let modules = try AdapterInspection(path: path, base: nil).modules
    return Dictionary(uniqueKeysWithValues: modules.map { ($0.module, $0.scale ?? .nan) })
  }

  /// There and back every tensor has its bits and every module its scale.
  @Test(arguments: ["lora", "dora", "lora_rslora", "lora_patterns"])
  func roundTrips(_ name: String) throws {
    let scratch = try Scratch()
    let original = Fixture.path("llama/" + name)
    for target in [AdapterConversion.Target.kohya, .diffusers, .mlx] {
      // MLX has one scale: modules of another have it in B.
      if target == .mlx, name == "lora_patterns" { continue }
      let foreign = scratch.file(target.rawValue + ".safetensors")
      let back = scratch.file("back-" + target.rawValue)
      try convert(original, foreign, target)
      try convert(foreign, back)
      #expect(try weights(back) == weights(original), "\(target)")
      let expected = try scales(original)
      for (module, scale) in try scales(back) {
        let wanted = try #require(expected[module])
        #expect(abs(scale - wanted) <= wanted * 1e-7, "\(target) \(module)")
      }
    }
  }

  @Test func namesOfKohya() throws {
    let scratch = try Scratch()
    try convert(
      Fixture.path("llama/dora"), scratch.file("k.safetensors"), .kohya, prefix: "lora_te")
    let tensors = try readModel(scratch.file("k.safetensors"))
    let stem = "lora_te_model_layers_0_self_attn_q_proj"
    let own = try weights(Fixture.path("llama/dora"))
    let module = "base_model.model.model.layers.0.self_attn.q_proj."
    #expect(tensors[stem + ".lora_down.weight"] == own[module + "lora_A.weight"])
    #expect(tensors[stem + ".lora_up.weight"] == own[module + "lora_B.weight"])
    #expect(tensors[stem + ".alpha"]?.shape == [])
    #expect(tensors[stem + ".dora_scale"]?.bytes == own[module + "lora_magnitude_vector"]?.bytes)
    #expect(tensors[stem + ".dora_scale"]?.shape == [64, 1])
  }

  /// Magnitudes of inputs, as some trainers store them, are not those of outputs.
  @Test func magnitudesOfInputs() throws {
    let scratch = try Scratch()
    let square = StoredTensor.f32([2, 2], [1, 2, 3, 4])
    try writeModel(scratch.file("base"), config: [:], ["q.weight": square])
    try writeFile(
      scratch.file("k.safetensors"),
      [
        "lora_unet_q.lora_down.weight": square, "lora_unet_q.lora_up.weight": square,
        "lora_unet_q.dora_scale": .f32([1, 2], [1, 2]),
      ])
    #expect(throws: ConversionError.self) {
      try convert(scratch.file("k.safetensors"), scratch.file("out"), base: scratch.file("base"))
    }
  }

  /// Two modules whose names differ only in `_` and `.` cannot be told apart.
  @Test func ambiguousUnderscores() throws {
    let scratch = try Scratch()
    let weight = StoredTensor.f32([2, 2], [1, 2, 3, 4])
    try writeModel(
      scratch.file("base"), config: [:], ["a.b_c.weight": weight, "a_b.c.weight": weight])
    try writeFile(
      scratch.file("k.safetensors"),
      ["lora_unet_a_b_c.lora_down.weight": weight, "lora_unet_a_b_c.lora_up.weight": weight])
    #expect(
      throws: ConversionError.unresolvedName(
        path: scratch.file("k.safetensors"), tensor: "lora_unet_a_b_c.lora_down.weight",
        scheme: .kohya, candidates: ["a.b_c", "a_b.c"])
    ) {
      try convert(scratch.file("k.safetensors"), scratch.file("out"), base: scratch.file("base"))
    }
    #expect(throws: ConversionError.self) {
      try convert(scratch.file("k.safetensors"), scratch.file("out"), base: nil)
    }
    #expect(!FileSystem.exists(scratch.file("out")))
  }

  /// Every spelling of diffusers is the same module, and α comes from where it is stated.
  @Test(arguments: [
    ("unet.a.attn1.to_q.lora_A.weight", "unet.a.attn1.to_q.lora_B.weight", "a.attn1.to_q"),
    ("unet.a.attn1.to_q.lora.down.weight", "unet.a.attn1.to_q.lora.up.weight", "a.attn1.to_q"),
    (
      "unet.a.attn1.processor.to_q_lora.down.weight", "unet.a.attn1.processor.to_q_lora.up.weight",
      "a.attn1.to_q"
    ),
    (
      "unet.a.attn1.processor.to_out_lora.down.weight",
      "unet.a.attn1.processor.to_out_lora.up.weight", "a.attn1.to_out.0"
    ),
    (
      "text_encoder.a.q.lora_linear_layer.down.weight",
      "text_encoder.a.q.lora_linear_layer.up.weight", "a.q"
    ),
  ])
  func spellingsOfDiffusers(_ a: String, _ b: String, _ module: String) throws {
    let scratch = try Scratch()
    let factors = (
      a: StoredTensor.f32([2, 3], [1, 2, 3, 4, 5, 6]), b: StoredTensor.f32([1, 2], [7, 8])
    )
    try writeFile(scratch.file("d.safetensors"), [a: factors.a, b: factors.b])
    try convert(scratch.file("d.safetensors"), scratch.file("out"), base: nil)
    #expect(
      try weights(scratch.file("out")) == [
        "base_model.model.\(module).lora_A.weight": factors.a,
        "base_model.model.\(module).lora_B.weight": factors.b,
      ])
    #expect(try scales(scratch.file("out")) == [module: 1])
  }

  @Test func alphaOfDiffusers() throws {
    let scratch = try Scratch()
    let factor = StoredTensor.f32([2, 2], [1, 2, 3, 4])
    try writeFile(
      scratch.file("d.safetensors"),
      [
        "unet.a.lora.down.weight": factor, "unet.a.lora.up.weight": factor,
        "unet.a.alpha": .f32([], [6]), "unet.b.lora.down.weight": factor,
        "unet.b.lora.up.weight": factor,
      ])
    try convert(scratch.file("d.safetensors"), scratch.file("out"), base: nil)
    #expect(try scales(scratch.file("out")) == ["a": 3, "b": 1])
    let config = try AdapterFile(path: scratch.file("out")).config.json
    #expect(config["lora_alpha"] == 2 && config["alpha_pattern"] == ["a": 6])
  }

  /// A file of two models gives the one that is asked for.
  @Test func severalModels() throws {
    let scratch = try Scratch()
    let factor = StoredTensor.f32([2, 2], [1, 2, 3, 4])
    var tensors: [String: StoredTensor] = [:]
    for model in ["unet", "text_encoder"] {
      for leaf in ["lora_A", "lora_B"] { tensors["\(model).\(model).q.\(leaf).weight"] = factor }
    }
    let file = scratch.file("d.safetensors")
    try writeFile(file, tensors)
    #expect(
      throws: ConversionError.severalModels(path: file, prefixes: ["text_encoder", "unet"])
    ) { try convert(file, scratch.file("out"), base: nil) }
    try convert(file, scratch.file("out"), prefix: "unet", base: nil)
    #expect(try scales(scratch.file("out")) == ["unet.q": 1])
  }

  @Test func folderOfMLX() throws {
    let scratch = try Scratch()
    try convert(Fixture.path("llama/lora"), scratch.file("mlx"), .mlx)
    #expect(scratch.names == ["mlx"])
    let config = try JSONValue.parse(
      InputFile(path: scratch.file("mlx/adapter_config.json")).readAll())
    #expect(config["lora_parameters"]?["scale"]?.double == 2)
    #expect(config["lora_parameters"]?["rank"]?.int == 4)
    #expect(config["fine_tune_type"]?.string == "lora")
    let tensors = try readModel(scratch.file("mlx/adapters.safetensors"))
    let own = try weights(Fixture.path("llama/lora"))
    let a = try #require(own["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"])
    let transposed = try #require(tensors["model.layers.0.self_attn.q_proj.lora_a"])
    #expect(a.shape == [4, 64] && transposed.shape == [64, 4])
    for row in 0..<4 {
      for column in 0..<64 {
        #expect(a.values[row * 64 + column] == transposed.values[column * 4 + row])
      }
    }
  }

  /// Modules of another scale than the commonest have the quotient in B.
  @Test func scalesOfMLX() throws {
    let scratch = try Scratch()
    let modules = [("m.layers.0.q", 2, 2), ("m.layers.1.q", 2, 2), ("m.layers.2.q", 2, 2)]
    try SyntheticAdapter.ones(
      scratch.file("a"), modules: modules, config: ["alpha_pattern": ["m.layers.2.q": 8]])
    try convert(scratch.file("a"), scratch.file("mlx"), .mlx, base: nil)
    let tensors = try readModel(scratch.file("mlx/adapters.safetensors"))
    #expect(tensors["m.layers.0.q.lora_b"]?.values == [1, 1])
    #expect(tensors["m.layers.2.q.lora_b"]?.values == [8, 8])
  }

  /// The whole model of 1LoRA's listing becomes our adapter.
  @Test func listingOfOneLoRA() throws {
    let scratch = try Scratch()
    let file = scratch.file("model.safetensors")
    try writeFile(
      file,
      [
        "m.q.linear.weight": .f32([2, 3], [1, 2, 3, 4, 5, 6]),
        "m.q.linear.bias": .f32([2], [0, 0]), "m.q.b": .f32([2], [0.5, -1]),
        "m.norm.weight": .f32([3], [1, 1, 1]),
      ])
    try convert(file, scratch.file("out"), base: nil)
    #expect(
      try weights(scratch.file("out"))
        == ["base_model.model.m.q.onelora_b": .f32([2], [0.5, -1])])
    #expect(try AdapterFile(path: scratch.file("out")).config.peftType == "ONELORA")
  }

  @Test func unknownNames() throws {
    let scratch = try Scratch()
    let file = scratch.file("x.safetensors")
    try writeFile(file, ["something.else": .f32([1], [1])])
    #expect(
      throws: ConversionError.unknownNaming(
        path: file, tensor: "something.else", looked: NamingScheme.allCases)
    ) { try convert(file, scratch.file("out"), base: nil) }
  }
}
