import Kernels
import Safetensors
import Testing

@testable import Operations

@Suite("Shapes from config.json")
struct ArchitectureShapesTests {
  @Test("Parameters, and LoRA on all linear layers, as transformers and PEFT count them")
  func parameters() throws {
    let cases = try EstimateFixtures.members("parameters.json")
    #expect(cases.count > 35)
    for (name, expected) in cases {
      let shapes = try EstimateFixtures.shapes(name)
      #expect(shapes.parameterCount == expected["parameters"]?.int, "\(name)")
      guard let lora = expected["all_linear_lora"]?.int else { continue }
      let report = try EstimateRequest(method: "lora", rank: 8, targets: .allLinear)
        .report(shapes)
      #expect(report.trainableParameters == lora, "\(name)")
    }
  }

  @Test("Names and shapes are those of the checkpoint that transformers writes")
  func tensors() throws {
    let cases = try EstimateFixtures.members("tensors.json")
    #expect(cases.count > 20)
    for (name, value) in cases {
      var expected: [String: [Int]] = [:]
      for entry in value.object?.entries ?? [] {
        expected[entry.key] = entry.value.array?.compactMap(\.int)
      }
      var found: [String: [Int]] = [:]
      for tensor in try EstimateFixtures.shapes(name).layers.flatMap(\.tensors) {
        #expect(found[tensor.name] == nil, "\(name): \(tensor.name) twice")
        found[tensor.name] = tensor.shape
      }
      #expect(found == expected, "\(name)")
    }
  }

  @Test("Headers and config.json give the same estimate", arguments: [DType.f32, .bf16])
  func headers(dtype: DType) throws {
    for (name, value) in try EstimateFixtures.members("tensors.json") {
      var tensors: [(name: String, dtype: DType, shape: [Int])] = []
      for entry in value.object?.entries ?? [] {
        tensors.append((entry.key, dtype, entry.value.array?.compactMap(\.int) ?? []))
      }
      let checkpoint = try ZeroCheckpoint(tensors, config: name)
      let fromHeaders = try ModelShapes(path: checkpoint.folder)
      let fromConfig = try EstimateFixtures.shapes(name)
      #expect(fromHeaders.parameterCount == fromConfig.parameterCount, "\(name)")
      #expect(
        fromHeaders.layers.reduce(0) { $0 + $1.storedBytes }
          == fromHeaders.parameterCount * dtype.bits / 8, "\(name)")
      for method in ["lora", "dora", "ia3", "1lora+norms", "vera"] {
        let request = EstimateRequest(method: method, rank: method == "lora" ? 2 : nil)
        let a = try request.report(fromHeaders)
        let b = try request.report(fromConfig)
        #expect(a.trainableParameters == b.trainableParameters, "\(name) \(method)")
        #expect(Set(a.modules) == Set(b.modules), "\(name) \(method)")
        #expect(a.memory.activations == b.memory.activations, "\(name) \(method)")
      }
    }
  }

  @Test("Headers alone tell what a layer is")
  func bareHeaders() throws {
    for (name, value) in try EstimateFixtures.members("tensors.json") {
      var tensors: [(name: String, dtype: DType, shape: [Int])] = []
      for entry in value.object?.entries ?? [] {
        tensors.append((entry.key, .f16, entry.value.array?.compactMap(\.int) ?? []))
      }
      let checkpoint = try ZeroCheckpoint(tensors)
      let bare = try ModelShapes(path: checkpoint.folder)
      #expect(bare.facts == nil)
      let known = try EstimateFixtures.shapes(name)
      var expected: [String: LayerGeometry.Kind] = [:]
      for layer in known.layers where !layer.isTied { expected[layer.module] = layer.geometry.kind }
      var found: [String: LayerGeometry.Kind] = [:]
      for layer in bare.layers { found[layer.module] = layer.geometry.kind }
      #expect(found == expected, "\(name)")
    }
  }

  @Test("Buffers of old checkpoints are no parameters")
  func buffers() throws {
    let checkpoint = try ZeroCheckpoint([
      ("h.0.attn.bias", .u8, [1, 1, 4, 4]), ("h.0.attn.masked_bias", .f32, []),
      ("h.0.attn.c_attn.weight", .f32, [4, 12]), ("h.0.attn.c_attn.bias", .f32, [12]),
      ("model.layers.0.self_attn.rotary_emb.inv_freq", .f32, [8]),
      ("bert.embeddings.position_ids", .i64, [1, 16]),
    ])
    let shapes = try ModelShapes(path: checkpoint.folder)
    #expect(shapes.parameterCount == 60)
    #expect(shapes.layers.map(\.geometry.outFeatures) == [12])
  }

  @Test("An empty tensor counts nothing, whatever its dimensions")
  func emptyTensor() throws {
    let checkpoint = try ZeroCheckpoint([
      ("a.weight", .f32, [0, 1 << 40, 1 << 40]), ("b.weight", .f32, [2, 3]),
    ])
    let shapes = try ModelShapes(path: checkpoint.folder)
    #expect(shapes.parameterCount == 6)
    #expect(try EstimateRequest(method: "lora").report(shapes).modules == ["b"])
  }

  @Test("A weight quantized by bitsandbytes counts as what it was")
  func quantized() throws {
    let weight = "model.layers.0.mlp.up_proj.weight"
    let state = Array(#"{"quant_type":"nf4","shape":[64,33],"dtype":"bfloat16"}"#.utf8)
    let tensors: [(name: String, dtype: DType, shape: [Int])] = [
      (weight, .u8, [1056, 1]), ("\(weight).absmax", .u8, [33]),
      ("\(weight).nested_absmax", .f32, [1]), ("\(weight).quant_map", .f32, [16]),
      ("\(weight).nested_quant_map", .f32, [256]),
      ("\(weight).quant_state.bitsandbytes__nf4", .u8, [state.count]),
      ("model.norm.weight", .bf16, [33]),
    ]
    let checkpoint = try ZeroCheckpoint(
      tensors, contents: ["\(weight).quant_state.bitsandbytes__nf4": state])
    let shapes = try ModelShapes(path: checkpoint.folder)
    #expect(shapes.parameterCount == 64 * 33 + 33)
    let report = try EstimateRequest(
      method: "lora", rank: 2, targets: .allLinear, quantization: .nf4
    ).report(shapes)
    #expect(report.trainableParameters == 2 * (64 + 33))
    #expect(report.memory.weights == 1056 + 66)
    #expect(report.memory.quantizationConstants == 33 + 4 + 64 + 1024)

    let wrong = Array(#"{"quant_type":"nf4","shape":[64,40]}"#.utf8)
    let broken = try ZeroCheckpoint(
      tensors.map { $0.name.contains("quant_state") ? ($0.name, $0.dtype, [wrong.count]) : $0 },
      contents: ["\(weight).quant_state.bitsandbytes__nf4": wrong])
    #expect(
      throws: EstimateError.quantizationState(
        tensor: "\(weight).quant_state.bitsandbytes__nf4")
    ) { try ModelShapes(path: broken.folder) }
  }

  @Test("What config.json lacks or has wrong is named")
  func errors() throws {
    func shapes(_ text: String) throws -> ModelShapes {
      try Architectures.shapes(ArchitectureConfig(path: "c", json: JSONValue.parse(text)))
    }
    #expect {
      try shapes(#"{"model_type": "mamba"}"#)
    } throws: { error in
      guard case .unknownArchitecture(_, "mamba", let known)? = error as? EstimateError else {
        return false
      }
      return known.contains("llama")
    }
    #expect(throws: EstimateError.configField(path: "c", field: "num_hidden_layers", found: nil)) {
      try shapes(#"{"model_type": "llama"}"#)
    }
    for bad in ["-1", "0", "1e3", "99999999999999999999", "\"8\"", "[8]", "5000"] {
      #expect(throws: EstimateError.self) {
        try shapes(#"{"model_type": "llama", "num_hidden_layers": \#(bad)}"#)
      }
    }
    #expect(
      throws: EstimateError.configField(path: "c", field: "architectures", found: "ViTForMagic")
    ) {
      try shapes(
        #"""
        {"model_type": "vit", "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2,
        "intermediate_size": 8, "architectures": ["ViTForMagic"]}
        """#)
    }
    // Sizes that are each possible, and not together.
    let wide = #""num_hidden_layers": 4096, "hidden_size": 4194304, "vocab_size": 4194304"#
    #expect(throws: EstimateError.configField(path: "c", field: "head_dim", found: "4194304")) {
      try shapes(
        #"{"model_type": "llama", \#(wide), "num_attention_heads": 4194304, "head_dim": 4194304}"#)
    }
    #expect(throws: EstimateError.configField(path: "c", field: "mlp_ratio", found: "1000")) {
      try shapes(
        #"{"model_type": "dinov2", \#(wide), "num_attention_heads": 4, "mlp_ratio": 1000}"#)
    }
    let largest = try shapes(
      #"{"model_type": "llama", \#(wide), "num_attention_heads": 4, "intermediate_size": 4194304}"#)
    #expect(largest.parameterCount > 1 << 58)
    #expect(throws: EstimateError.notFound(path: "/nowhere")) {
      try ModelShapes(path: "/nowhere")
    }
  }
}
