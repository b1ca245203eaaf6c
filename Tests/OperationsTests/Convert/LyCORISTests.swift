import Adapters
import Safetensors
import Testing

@testable import Operations

/// LoHa and LoKr between PEFT's folders and files with sd-scripts' names.
@Suite struct LyCORISTests {
  private let modules = ["m.layers.0.q_proj", "m.layers.0.v_proj", "m.layers.1.q_proj"]

  private func base(_ scratch: Scratch) throws -> String {
    try writeModel(
      scratch.file("base"), config: [:],
      Dictionary(
        uniqueKeysWithValues: modules.map {
          ($0 + ".weight", .f32([4, 6], (0..<24).map(Float.init)))
        }))
    return scratch.file("base")
  }

  private func adapter(
    _ path: String, type: String, leaves: [String: [Int]], config: JSONObject
  ) throws {
    var tensors: [String: StoredTensor] = [:]
    var value: Float = 0.1
    for module in modules {
      for (leaf, shape) in leaves.sorted(by: { $0.key < $1.key }) {
        tensors["base_model.model.\(module).\(leaf)"] = .bf16(
          shape,
          (0..<shape.reduce(1, *)).map { _ in
            value += 0.37
            return value
          })
      }
    }
    var whole: JSONObject = ["peft_type": .string(type), "target_modules": ["q_proj", "v_proj"]]
    for entry in config.entries { whole[entry.key] = entry.value }
    try SyntheticAdapter.write(path, config: whole, tensors: tensors)
  }

  private func roundTrip(_ scratch: Scratch) throws {
    let base = try base(scratch)
    _ = try AdapterConversion(
      input: scratch.file("a"), output: scratch.file("k.safetensors"), target: .kohya
    ).run()
    _ = try AdapterConversion(
      input: scratch.file("k.safetensors"), output: scratch.file("b"), target: .folder, base: base
    ).run()
  }

  private func weights(_ folder: String) throws -> [String: StoredTensor] {
    try readModel(folder + "/adapter_model.safetensors")
  }

  private func scales(_ path: String) throws -> [Double?] {
    try AdapterInspection(path: path, base: nil).modules.map(\.scale)
  }

  @Test func hadamard() throws {
    let scratch = try Scratch()
    try adapter(
      scratch.file("a"), type: "LOHA",
      leaves: [
        "hada_w1_a": [4, 2], "hada_w1_b": [2, 6], "hada_w2_a": [4, 2], "hada_w2_b": [2, 6],
      ], config: ["r": 2, "alpha": 3, "alpha_pattern": ["v_proj": 1]])
    try roundTrip(scratch)
    #expect(try weights(scratch.file("a")) == weights(scratch.file("b")))
    #expect(try scales(scratch.file("b")) == [1.5, 0.5, 1.5])
    let names = try readModel(scratch.file("k.safetensors"))
    #expect(names["lora_unet_m_layers_0_q_proj.hada_w2_b"]?.dtype == .bf16)
    #expect(names["lora_unet_m_layers_0_v_proj.alpha"]?.values == [1])
    let config = try AdapterFile(path: scratch.file("b")).config
    #expect(config.peftType == "LOHA" && config.json["r"] == 2)
    #expect(config.json["target_modules"] == ["q_proj", "v_proj"])
  }

  @Test func kronecker() throws {
    let scratch = try Scratch()
    try adapter(
      scratch.file("a"), type: "LOKR",
      leaves: ["lokr_w1": [2, 2], "lokr_w2_a": [2, 1], "lokr_w2_b": [1, 3]],
      config: ["r": 1, "alpha": 3])
    try roundTrip(scratch)
    #expect(try weights(scratch.file("a")) == weights(scratch.file("b")))
    #expect(try scales(scratch.file("b")) == [3, 3, 3])
    let config = try AdapterFile(path: scratch.file("b")).config.json
    #expect(config["decompose_factor"] == -1 && config["decompose_both"] == false)
  }

  /// LyCORIS scales two full factors by 1, whatever α says: the scale goes into the second one.
  @Test func fullFactors() throws {
    let scratch = try Scratch()
    try adapter(
      scratch.file("a"), type: "LOKR", leaves: ["lokr_w1": [2, 2], "lokr_w2": [2, 3]],
      config: ["r": 4, "alpha": 8])
    try roundTrip(scratch)
    #expect(try scales(scratch.file("b")) == [1, 1, 1])
    let (own, back) = try (weights(scratch.file("a")), weights(scratch.file("b")))
    for (name, tensor) in own {
      let factor: Double = name.hasSuffix("w2") ? 2 : 1
      #expect(back[name]?.values == tensor.values.map { $0 * factor })
    }
    // PEFT's layer is full from half the larger side of the second factor on.
    #expect(try AdapterFile(path: scratch.file("b")).config.json["r"] == 2)
  }

  @Test func splits() {
    #expect(KroneckerFactor.split(24, factor: -1) == (4, 6))
    #expect(KroneckerFactor.split(127, factor: -1) == (1, 127))
    #expect(KroneckerFactor.split(128, factor: 4) == (4, 32))
    #expect(KroneckerFactor.split(8, factor: 4) == (4, 2))
    #expect(KroneckerFactor.split(10, factor: 4) == (2, 5))
  }

  /// PEFT has magnitudes for LoRA only.
  @Test func magnitudes() throws {
    let scratch = try Scratch()
    let base = try base(scratch)
    let stem = "lora_unet_m_layers_0_q_proj."
    var tensors: [String: StoredTensor] = [stem + "dora_scale": .f32([4, 1], [1, 2, 3, 4])]
    for leaf in ["hada_w1_a", "hada_w2_a"] { tensors[stem + leaf] = .f32([4, 1], [1, 2, 3, 4]) }
    for leaf in ["hada_w1_b", "hada_w2_b"] {
      tensors[stem + leaf] = .f32([1, 6], [1, 2, 3, 4, 5, 6])
    }
    try writeFile(scratch.file("k.safetensors"), tensors)
    #expect(throws: ConversionError.self) {
      try AdapterConversion(
        input: scratch.file("k.safetensors"), output: scratch.file("b"), target: .folder, base: base
      ).run()
    }
    #expect(!FileSystem.exists(scratch.file("b")))
  }
}
