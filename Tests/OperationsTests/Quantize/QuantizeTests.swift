import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

private func quantize(
  _ model: String, to output: String, _ scheme: QuantizationScheme.Kind = .nf4,
  blockSize: Int = 64, doubleQuantized: Bool = true,
  _ change: (inout QuantizeRequest) -> Void = { _ in }
) throws -> QuantizeReport {
  var request = QuantizeRequest(
    model: model, output: output,
    scheme: try QuantizationScheme(
      scheme, blockSize: blockSize, doubleQuantized: doubleQuantized), threads: 2)
  change(&request)
  return try QuantizeOperation(request).run()
}

private func config(_ folder: String) throws -> JSONValue {
  try JSONValue.parse(InputFile(path: folder + "/config.json").readAll())
}

/// Values without a pattern, the same every time.
private func values(_ count: Int, seed: UInt32 = 1) -> [Float] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return Float(state >> 8) / Float(1 << 24) - 0.5
  }
}

@Suite struct QuantizeOutputTests {
  @Test func shardsStayAndCompanionsKeepTogether() throws {
    let scratch = try Scratch()
    let llama = Fixture.path("llama/base")
    _ = try quantize(llama, to: scratch.file("out"))
    #expect(try FileSystem.names(in: scratch.file("out")) == FileSystem.names(in: llama))
    _ = try quantize(llama, to: scratch.file("small")) { $0.maximumShardSize = 6000 }
    for name in ["out", "small"] {
      let checkpoint = try Checkpoint(path: scratch.file(name))
      #expect(checkpoint.problems.isEmpty)
      for tensor in checkpoint.tensors {
        let weight = CompanionName.weight(of: tensor.name)
        #expect(checkpoint[weight]?.shard == tensor.shard, "\(tensor.name)")
      }
    }
    #expect(try Checkpoint(path: scratch.file("small")).shards.count > 10)
    #expect(try readModel(scratch.file("out")) == readModel(scratch.file("small")))
  }

  @Test(arguments: QuantizationScheme.Kind.allCases)
  func threadsChangeNothing(_ kind: QuantizationScheme.Kind) throws {
    let scratch = try Scratch()
    let threads = [1, 2, 3, 8]
    let folders = try threads.map { threads in
      _ = try quantize(Fixture.path("bert/base"), to: scratch.file("\(threads)"), kind) {
        $0.threads = threads
      }
      return try readFolder(scratch.file("\(threads)"))
    }
    #expect(folders.allSatisfy { $0 == folders[0] })
  }

  @Test func castFirst() throws {
    let scratch = try Scratch()
    _ = try quantize(Fixture.path("gpt2/base"), to: scratch.file("cast")) { $0.element = .bf16 }
    let weights = try readModel(Fixture.path("gpt2/base")).mapValues {
      StoredTensor(
        dtype: .bf16, shape: $0.shape, bytes: ElementType.bf16.rounded($0.values.map(Float.init)))
    }
    try writeModel(
      scratch.file("bf16"), config: config(Fixture.path("gpt2/base")).object ?? [:], weights)
    _ = try quantize(scratch.file("bf16"), to: scratch.file("out"))
    #expect(try readModel(scratch.file("cast")) == readModel(scratch.file("out")))
    #expect(try config(scratch.file("cast"))["dtype"]?.string == "bfloat16")
    let state = try #require(
      try readModel(scratch.file("cast"))[
        "transformer.h.0.mlp.c_fc.weight.quant_state.bitsandbytes__nf4"])
    #expect(QuantState(state.bytes)?.element == .bf16)
  }

  /// Awkward shapes: odd counts, short blocks, several pieces, and every block size.
  @Test(arguments: [32, 64, 256, 4096], [true, false])
  func everyBlockSize(_ blockSize: Int, _ doubleQuantized: Bool) throws {
    let scratch = try Scratch()
    let shapes = [[1, 1], [3, 7], [5, 48], [300, 1001]]
    var tensors: [String: StoredTensor] = [:]
    for (index, shape) in shapes.enumerated() {
      tensors["model.layers.\(index).mlp.up_proj.weight"] = .f32(
        shape, values(shape[0] * shape[1], seed: UInt32(index + 1)))
    }
    try writeModel(scratch.file("in"), config: ["model_type": "llama"], tensors)
    let report = try quantize(
      scratch.file("in"), to: scratch.file("out"), blockSize: blockSize,
      doubleQuantized: doubleQuantized)
    let found = try readModel(scratch.file("out"))
    let format = try FourBitFormat(blockSize: blockSize)
    for (name, tensor) in tensors {
      let wanted = try tensor.bytes.withUnsafeBytes {
        try FourBitTensor(
          quantizing: $0, as: .f32, format: format,
          doubleQuantization: doubleQuantized ? .bnbCPU : nil)
      }
      #expect(found[name]?.bytes == wanted.packed, "\(name)")
      let absmax = try #require(found[name + ".absmax"])
      switch wanted.scales {
      case .plain(let scales): #expect(absmax.bytes == ElementType.f32.rounded(scales))
      case .nested(let scales):
        #expect(absmax.bytes == scales.codes)
        #expect(
          found[name + ".nested_absmax"]?.bytes == ElementType.f32.rounded(scales.absmax))
      }
      let runs = (wanted.elements + FourBitTensor.run - 1) / FourBitTensor.run
      let error = ReconstructionError.total(
        tensor.bytes.withUnsafeBytes { wanted.errors(of: $0, as: .f32, runs: 0..<runs) })
      let reported = try #require(report.tensors.first { $0.name == name })
      #expect(reported.rootMeanSquareError == error.rootMeanSquare)
      #expect(reported.largestError == error.largest)
    }
  }

  /// A matrix without elements stays as it is; zeros have the scale 0, in a short block 1e-38, and
  /// come back as zeros.
  @Test(arguments: QuantizationScheme.Kind.allCases)
  func emptyMatricesAndZeros(_ kind: QuantizationScheme.Kind) throws {
    let scratch = try Scratch()
    let (empty, zeros) = ("model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight")
    let tensors: [String: StoredTensor] = [
      empty: .f32([0, 5], []), zeros: .f32([3, 43], [Float](repeating: 0, count: 129)),
    ]
    try writeModel(scratch.file("in"), config: ["model_type": "llama"], tensors)
    let report = try quantize(scratch.file("in"), to: scratch.file("out"), kind)
    #expect(report.tensors.map(\.name) == [zeros] && report.kept == 1)
    #expect(report.tensors[0].largestError <= 2e-38 && report.tensors[0].relativeError == 0)
    let found = try readModel(scratch.file("out"))
    #expect(found[empty] == tensors[empty])
    if kind == .nf4 {
      #expect(found[zeros]?.bytes == [UInt8](repeating: 0x77, count: 65))
      _ = try quantize(scratch.file("in"), to: scratch.file("plain"), kind, doubleQuantized: false)
      let scales = try readModel(scratch.file("plain"))[zeros + ".absmax"]
      #expect(scales?.bytes == ElementType.f32.rounded([0, 0, 1e-38]))
    }
  }

  /// Every part of the output may be asked for in any pieces.
  @Test(arguments: [true, false])
  func piecesDoNotShow(_ keepsCodes: Bool) throws {
    let shape = [131, 509]
    let bytes = ElementType.f32.rounded(values(shape[0] * shape[1]))
    let source = QuantizedSource(
      name: "w", shape: shape, element: .f32, elements: HeldTensor(bytes: bytes))
    let format = try FourBitFormat()
    let scan = try ScaleScan(
      sources: [source], format: format, threads: 2, progress: nil
    ).run()[0]
    let kept = keepsCodes ? scan.scales : nil
    let layers: [any QuantizedLayer] = [
      FourBitLayer(
        source: source, format: format, kind: .nf4,
        nested: ScannedScales(offset: scan.offset, absmax: scan.absmax, scales: kept)),
      FourBitLayer(source: source, format: format, kind: .nf4, nested: nil),
      Int8Layer(source: source),
    ]
    for layer in layers {
      for tensor in layer.tensors {
        func read(_ step: Int) throws -> [UInt8] {
          var result = [UInt8](repeating: 0xEE, count: try tensor.byteCount)
          let workspace = Workspace()
          try tensor.source.open(workspace)
          try result.withUnsafeMutableBytes { result in
            for start in stride(from: 0, to: result.count, by: step).reversed() {
              let range = start..<min(start + step, result.count)
              try tensor.source.fill(
                UnsafeMutableRawBufferPointer(rebasing: result[range]), range: range,
                workspace: workspace)
            }
          }
          try tensor.source.close(checksum: 0)
          return result
        }
        #expect(try read(1 << 30) == read(4999), "\(tensor.name)")
      }
      #expect(layer.losses.error.elements == 2 * 131 * 509)
    }
  }
}

@Suite struct QuantizeSelectionTests {
  @Test func expertsRoutersAndHeadsStay() throws {
    let scratch = try Scratch()
    let report = try quantize(Fixture.path("mixtral/base"), to: scratch.file("out"))
    let leaves = Set(report.tensors.map { $0.name.split(separator: ".").dropLast().last ?? "" })
    #expect(leaves == ["q_proj", "k_proj", "v_proj", "o_proj"])
    #expect(
      try config(scratch.file("out"))["quantization_config"]?["llm_int8_skip_modules"]?.isNull
        == true)
  }

  @Test func skippedModulesAreListedWithTheAutomaticOnes() throws {
    let scratch = try Scratch()
    let report = try quantize(Fixture.path("llama/base"), to: scratch.file("out")) {
      $0.skip = ["down_proj", "model.layers.1.self_attn"]
    }
    #expect(report.tensors.count == 14 - 2 - 4)
    let list = try config(scratch.file("out"))["quantization_config"]?["llm_int8_skip_modules"]
    #expect(list == ["lm_head", "down_proj", "model.layers.1.self_attn"])
    let out = try readModel(scratch.file("out"))
    let base = try readModel(Fixture.path("llama/base"))
    let kept = "model.layers.1.self_attn.q_proj.weight"
    #expect(out[kept] == base[kept])
  }

  @Test func patternsAreThoseOfTransformers() throws {
    func matches(_ pattern: String, _ module: String) throws -> Bool {
      try #require(SkipPattern(pattern)).matches(module)
    }
    #expect(try matches("layer.1", "layer.1.attn"))
    #expect(try !matches("layer.1", "layer.11.attn"))
    #expect(try matches("layer.*", "layer.11.attn"))
    #expect(try !matches("mlp.gate", "mlp.gate_proj"))
    #expect(try matches("fc1", "model.decoder.layers.23.fc1"))
    #expect(try matches("a|b", "b.c"))
    #expect(try matches("lm_head", "lm_head"))
    #expect(try matches("model.", "model.layers"))
    #expect(SkipPattern("(") == nil)
  }

  @Test(arguments: ["(", "nothing_like_that", ""])
  func patternsThatMatchNothing(_ pattern: String) throws {
    let scratch = try Scratch()
    #expect(throws: QuantizeError.skipPattern(pattern)) {
      try quantize(Fixture.path("llama/base"), to: scratch.file("out")) { $0.skip = [pattern] }
    }
    #expect(scratch.names == [])
  }

  /// What a loader could take for something else is kept, and the loader told.
  @Test func unknownFamilies() throws {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("in"), config: ["model_type": "brandnew", "vocab_size": 10],
      [
        "body.tokens.weight": .f32([10, 4], values(40)),
        "body.embed_tokens.weight": .f32([10, 4], values(40)),
        "body.0.mix.weight": .f32([6, 4], values(24)),
        "body.0.gate.weight": .f32([2, 4], values(8)),
        "body.0.norm.weight": .f32([4], values(4)),
        "body.0.conv.weight": .f32([4, 4, 3], values(48)),
      ])
    let report = try quantize(scratch.file("in"), to: scratch.file("out"))
    #expect(report.tensors.map(\.name) == ["body.0.mix.weight"])
    let list = try config(scratch.file("out"))["quantization_config"]?["llm_int8_skip_modules"]
    #expect(Set(list?.array?.compactMap(\.string) ?? []) == ["body.tokens", "body.0.gate"])
  }

  /// The last layer of a classifier without a bias is the last parameter.
  @Test func classifiersWithoutBias() throws {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("in"), config: ["model_type": "llama"],
      [
        "model.layers.0.mlp.up_proj.weight": .f32([6, 4], values(24)),
        "score.weight": .f32([2, 4], values(8)),
      ])
    let report = try quantize(scratch.file("in"), to: scratch.file("out"))
    #expect(report.tensors.map(\.name) == ["model.layers.0.mlp.up_proj.weight"])
  }
}

@Suite struct QuantizeRefusalTests {
  @Test(arguments: QuantizationScheme.Kind.allCases, [Float.infinity, .nan])
  func notFinite(_ kind: QuantizationScheme.Kind, _ value: Float) throws {
    let scratch = try Scratch()
    var bad = values(70 * 33)
    bad[33 * 5 + 7] = value
    try writeModel(
      scratch.file("in"), config: ["model_type": "llama"],
      ["model.layers.0.mlp.up_proj.weight": .f32([70, 33], bad)])
    for doubleQuantized in [true, false] {
      #expect(
        throws: QuantizeError.notFinite(tensor: "model.layers.0.mlp.up_proj.weight", index: [5, 7])
      ) {
        try quantize(
          scratch.file("in"), to: scratch.file("out"), kind, doubleQuantized: doubleQuantized)
      }
    }
    #expect(scratch.names == ["in"])
  }

  @Test func beyondF16() throws {
    let scratch = try Scratch()
    var bad = values(12)
    bad[7] = 1e5
    try writeModel(
      scratch.file("in"), config: ["model_type": "llama"],
      ["model.layers.0.mlp.up_proj.weight": .f32([3, 4], bad)])
    #expect(
      throws: QuantizeError.notFinite(tensor: "model.layers.0.mlp.up_proj.weight", index: [1, 3])
    ) {
      try quantize(scratch.file("in"), to: scratch.file("out"), .int8)
    }
  }

  @Test func quantizedAlready() throws {
    let scratch = try Scratch()
    #expect(throws: QuantizeError.self) {
      try quantize(Fixture.path("llama/nf4"), to: scratch.file("out"))
    }
    #expect(throws: QuantizeError.notQuantized(path: Fixture.path("llama/base"))) {
      try DequantizePlan(
        DequantizeRequest(
          model: Fixture.path("llama/base"), output: scratch.file("out"), threads: 1))
    }
  }

  @Test func nothingLinear() throws {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("in"), config: ["model_type": "llama"],
      ["model.norm.weight": .f32([4], [1, 2, 3, 4])])
    #expect(throws: QuantizeError.nothingToQuantize(path: scratch.file("in"))) {
      try quantize(scratch.file("in"), to: scratch.file("out"))
    }
  }
}

@Suite struct QuantizedModelTests {
  private static let weight = "model.layers.0.mlp.up_proj.weight"

  private func problems(
    _ fixture: String = "llama/nf4_dq",
    _ change: (inout [String: StoredTensor]) throws -> Void
  ) throws -> [QuantizedProblem] {
    let scratch = try Scratch()
    var tensors = try readModel(Fixture.path(fixture))
    try change(&tensors)
    try writeModel(
      scratch.file("m"), config: config(Fixture.path(fixture)).object ?? [:], tensors)
    let inspection = try ModelInspection(path: scratch.file("m"))
    #expect(inspection.isSound == inspection.weightProblems.isEmpty)
    #expect(
      try Verification(path: scratch.file("m"), against: nil).isSound == inspection.isSound)
    if !inspection.isSound {
      #expect(throws: QuantizeError.self) {
        try DequantizePlan(
          DequantizeRequest(model: scratch.file("m"), output: scratch.file("o"), threads: 1))
      }
    }
    return inspection.weightProblems
  }

  @Test(arguments: QuantizedFixture.all)
  func thePeersAreSound(_ fixture: QuantizedFixture) throws {
    #expect(try ModelInspection(path: fixture.path).isSound)
  }

  @Test(arguments: [".absmax", ".quant_map", ".nested_quant_map"])
  func missingParts(_ part: String) throws {
    let name = Self.weight
    #expect(
      try problems { $0[name + part] = nil } == [.missing(tensor: name, part: name + part)])
  }

  @Test func missingDescription() throws {
    let state = Self.weight + ".quant_state.bitsandbytes__nf4"
    #expect(
      try problems { $0[state] = nil } == [.missing(tensor: Self.weight, part: state)])
    #expect(
      try problems { $0[state]?.bytes[0] = 0x20 }
        == [.state(tensor: Self.weight, reason: .notReadable)])
  }

  /// Without its nested scales, a loader would take the codes of the scales for scales.
  @Test func nestingThatDoesNotFit() throws {
    #expect(
      try problems { $0[Self.weight + ".nested_absmax"] = nil }
        == [.state(tensor: Self.weight, reason: .nesting)])
  }

  @Test func partsOfAnotherSize() throws {
    let found = try problems {
      $0[Self.weight] = StoredTensor(dtype: .u8, shape: [3, 1], bytes: [1, 2, 3])
    }
    #expect(found.count == 1 && found[0].tensor == Self.weight)
    let int8 = try problems("llama/int8") {
      $0["model.layers.0.mlp.up_proj.SCB"] = .f32([2], [1, 2])
    }
    #expect(int8.count == 1 && int8[0].tensor == Self.weight)
  }

  @Test func repackedScales() throws {
    let found = try problems("llama/nf4") {
      $0[Self.weight + ".absmax"] = StoredTensor(
        dtype: .bf16, shape: [1, 112], bytes: Array(repeating: 0, count: 224))
    }
    #expect(found == [.repackedScales(tensor: Self.weight, shape: [1, 112])])
  }

  /// Codes of other shapes and storage types, and nested scales in bf16, are read.
  @Test func variants() throws {
    let scratch = try Scratch()
    var tensors = try readModel(Fixture.path("llama/nf4_dq"))
    let packed = try #require(tensors[Self.weight])
    let object = try config(Fixture.path("llama/nf4_dq")).object ?? [:]
    func restored(_ name: String) throws -> StoredTensor {
      try writeModel(scratch.file(name), config: object, tensors)
      let out = scratch.file(name + ".out")
      try DequantizeOperation(
        DequantizePlan(DequantizeRequest(model: scratch.file(name), output: out, threads: 1))
      ).run()
      return try #require(try readModel(out)[Self.weight])
    }
    let wanted = try restored("as it is")
    for (dtype, shape) in [
      (DType.u8, [1, 3584]), (.u8, [3584]), (.bf16, [1792, 1]), (.f32, [896, 1]),
    ] {
      tensors[Self.weight] = StoredTensor(dtype: dtype, shape: shape, bytes: packed.bytes)
      #expect(try restored("\(dtype)\(shape)") == wanted)
    }
    let scales = try #require(tensors[Self.weight + ".nested_absmax"])
    tensors[Self.weight + ".nested_absmax"] = StoredTensor(
      dtype: .bf16, shape: scales.shape,
      bytes: ElementType.bf16.rounded(scales.values.map(Float.init)))
    #expect(try restored("bf16 scales").shape == wanted.shape)
  }

  @Test func otherTypes() throws {
    let scratch = try Scratch()
    for (fixture, element) in [("qwen/nf4_dq", ElementType.f32), ("bert/int8", .f16)] {
      var request = DequantizeRequest(
        model: Fixture.path(fixture), output: scratch.file(element.rawValue), threads: 2)
      request.element = element
      try DequantizeOperation(DequantizePlan(request)).run()
      let out = try readModel(scratch.file(element.rawValue))
      #expect(out.values.allSatisfy { $0.dtype == element.dtype })
      let stored = try readModel(Fixture.path(fixture))
      let name = try #require(
        out.keys.first { $0.contains("layer") && $0.contains("query.w") || $0.contains("q_proj.w") }
      )
      #expect(
        out[name]?.bytes
          == element.rounded(try DequantizationTwin.values(of: name, in: stored)))
    }
  }
}
