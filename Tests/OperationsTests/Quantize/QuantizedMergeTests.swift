import Adapters
import Kernels
import Safetensors
import Testing

@testable import Operations

@discardableResult
private func merge(
  _ base: String, _ adapters: [WeightedAdapter], to out: String,
  _ change: (inout MergeRequest) -> Void = { _ in }
) throws -> MergeReport {
  var request = MergeRequest(base: base, adapters: adapters, output: out, threads: 2)
  change(&request)
  return try MergeOperation(MergePlan(request)).run()
}

private func quantize(
  _ model: String, to output: String, _ kind: QuantizationScheme.Kind = .nf4
) throws {
  _ = try QuantizeOperation(
    QuantizeRequest(
      model: model, output: output, scheme: try QuantizationScheme(kind), threads: 2)
  ).run()
}

private func dequantize(_ model: String, to output: String, _ element: ElementType?) throws {
  var request = DequantizeRequest(model: model, output: output, threads: 2)
  request.element = element
  try DequantizeOperation(DequantizePlan(request)).run()
}

private func quantizationConfig(_ folder: String) throws -> JSONValue? {
  try JSONValue.parse(InputFile(path: folder + "/config.json").readAll())["quantization_config"]
}

private let llama = Fixture.path("llama/base")
private let lora = WeightedAdapter(path: Fixture.path("llama/lora"))

@Suite struct QuantizedBaseTests {
  /// Every adapter that merges into a model merges into the quantized one: into what its codes stand for,
  /// in f32, rounded once. Not compared: VeRA's projections that are drawn in the base's own type, which
  /// is another one here.
  @Test(
    arguments: Fixture.merges.filter { $0 != "llama/vera_noproj" },
    [QuantizationScheme.Kind.nf4, .int8])
  func everyCaseMergesIntoWhatTheCodesStandFor(
    _ name: String, _ kind: QuantizationScheme.Kind
  ) throws {
    let scratch = try Scratch()
    let adapter = WeightedAdapter(path: Fixture.path(name))
    let base = Fixture.base(of: name)
    try quantize(base, to: scratch.file("quantized"), kind)
    try dequantize(scratch.file("quantized"), to: scratch.file("f32"), .f32)
    try merge(scratch.file("f32"), [adapter], to: scratch.file("wide"))
    let report = try merge(scratch.file("quantized"), [adapter], to: scratch.file("out"))

    let found = try readModel(scratch.file("out"))
    let wide = try readModel(scratch.file("wide"))
    let original = try readModel(base)
    #expect(Set(found.keys) == Set(wide.keys))
    let unpacked = try #require(try BaseModel(path: scratch.file("quantized")).quantized())
    for weight in unpacked.weights {
      let tensor = try #require(found[weight.name])
      let element = try #require(ElementType(tensor.dtype))
      let wanted = try #require(wide[weight.name])
      #expect(tensor.shape == original[weight.name]?.shape)
      #expect(tensor.dtype == original[weight.name]?.dtype)
      #expect(tensor.bytes == element.rounded(wanted.values.map(Float.init)), "\(weight.name)")
    }
    #expect(try quantizationConfig(scratch.file("out")) == nil)
    #expect(!report.changes.isEmpty)
  }

  /// What the 16-bit type rounds away shows in the retention, against the definition.
  @Test func retentionOfTheStoredType() throws {
    let scratch = try Scratch()
    let small = WeightedAdapter(path: lora.path, weight: 0.001)
    let base = Fixture.path("llama/nf4_dq")
    try dequantize(base, to: scratch.file("w0"), .f32)
    try merge(scratch.file("w0"), [small], to: scratch.file("w"))
    let report = try merge(base, [small], to: scratch.file("out"))
    let (before, wanted) = (try readModel(scratch.file("w0")), try readModel(scratch.file("w")))
    let stored = try readModel(scratch.file("out"))
    for change in report.changes {
      let expected = try retention(change.tensor, before, wanted, stored)
      #expect(abs(try #require(change.retention) - expected) < 1e-9, "\(change.tensor)")
    }
    #expect(report.changes.contains { ($0.retention ?? 1) < 0.999 })
  }

  @Test func theOriginalsWeights() throws {
    let scratch = try Scratch()
    try merge(llama, [lora], to: scratch.file("wanted"))
    try merge(Fixture.path("llama/nf4_dq"), [lora], to: scratch.file("out")) {
      $0.baseWeights = llama
    }
    #expect(try readFolder(scratch.file("wanted")) == readFolder(scratch.file("out")))
  }

  @Test func otherWeightsAreRefused() throws {
    let scratch = try Scratch()
    #expect(throws: QuantizeError.self) {
      try merge(Fixture.path("llama/nf4_dq"), [lora], to: scratch.file("out")) {
        $0.baseWeights = Fixture.path("qwen/base")
      }
    }
    var tensors = try readModel(llama)
    for (name, tensor) in tensors {
      tensors[name]?.bytes = Array(tensor.bytes.reversed())
    }
    try writeModel(scratch.file("shuffled"), config: ["model_type": "llama"], tensors)
    #expect(throws: QuantizeError.self) {
      try merge(Fixture.path("llama/nf4_dq"), [lora], to: scratch.file("out")) {
        $0.baseWeights = scratch.file("shuffled")
      }
    }
    #expect(throws: QuantizeError.notQuantized(path: llama)) {
      try merge(llama, [lora], to: scratch.file("out")) { $0.baseWeights = llama }
    }
  }

  @Test func undoIsRefused() throws {
    let scratch = try Scratch()
    #expect(throws: MergeError.self) {
      try merge(Fixture.path("llama/nf4_dq"), [lora], to: scratch.file("out")) {
        $0.recordsUndo = true
      }
    }
  }

  /// The base is counted by its parameters, not by its bytes.
  @Test func adaptersFitTheQuantizedBase() throws {
    let inspection = try AdapterInspection(path: lora.path, base: Fixture.path("llama/nf4_dq"))
    let plain = try AdapterInspection(path: lora.path, base: llama)
    #expect(inspection.isSound)
    #expect(inspection.fit?.allParameters == plain.fit?.allParameters)
  }
}

/// ⟨stored − W0, W − W0⟩ / ‖W − W0‖².
private func retention(
  _ name: String, _ before: [String: StoredTensor], _ wanted: [String: StoredTensor],
  _ stored: [String: StoredTensor]
) throws -> Double {
  let w0 = try #require(before[name]).values
  let w = try #require(wanted[name]).values
  let found = try #require(stored[name]).values
  var (kept, squares) = (0.0, 0.0)
  for index in w.indices {
    kept += (found[index] - w0[index]) * (w[index] - w0[index])
    squares += (w[index] - w0[index]) * (w[index] - w0[index])
  }
  return kept / squares
}

@Suite struct QuantizedOutputTests {
  static let kinds: [(base: String, kind: QuantizationScheme.Kind)] = [
    ("llama/base", .nf4), ("llama/base", .int8), ("llama/nf4_dq", .nf4), ("llama/int8", .fp4),
    ("gpt2/base", .nf4), ("gpt2/int8", .int8),
  ]

  /// The sum in f32, quantized once; what that kept of the change is reported.
  @Test(arguments: Self.kinds)
  func theSumIsQuantizedOnce(
    _ base: String, _ kind: QuantizationScheme.Kind
  ) throws {
    let scratch = try Scratch()
    let architecture = base.split(separator: "/")[0]
    let adapter = WeightedAdapter(path: Fixture.path("\(architecture)/dora"), weight: 0.2)
    let isQuantized = !base.hasSuffix("base")
    let wide = isQuantized ? scratch.file("w0") : Fixture.path(base)
    if isQuantized { try dequantize(Fixture.path(base), to: wide, .f32) }
    try merge(wide, [adapter], to: scratch.file("sum")) { $0.element = .f32 }
    try quantize(scratch.file("sum"), to: scratch.file("wanted"), kind)
    let report = try merge(Fixture.path(base), [adapter], to: scratch.file("out")) {
      $0.quantization = kind
    }

    let found = try readModel(scratch.file("out"))
    let wanted = try readModel(scratch.file("wanted"))
    #expect(Set(found.keys) == Set(wanted.keys))
    let original = try readModel(Fixture.path("\(architecture)/base"))
    let layers = try #require(try BaseModel(path: scratch.file("out")).quantized()).weights
    #expect(layers.count == (architecture == "llama" ? 14 : 8))
    for weight in layers {
      #expect(weight.element.dtype == original[weight.name]?.dtype)
      for part in weight.tensors where !part.contains("quant_state") {
        #expect(found[part] == wanted[part], "\(part)")
      }
    }
    try dequantize(scratch.file("out"), to: scratch.file("decoded"), .f32)
    let (before, sum) = (try readModel(wide), try readModel(scratch.file("sum")))
    let decoded = try readModel(scratch.file("decoded"))
    for change in report.changes {
      let expected = try retention(change.tensor, before, sum, decoded)
      #expect(abs(try #require(change.retention) - expected) < 1e-6, "\(change.tensor)")
    }
    #expect(try quantizationConfig(scratch.file("out"))?["quant_method"]?.string == "bitsandbytes")
  }

  /// What no adapter changes is copied as it is: quantized once more, its scales would drift.
  @Test func untouchedWeightsAreCopied() throws {
    let scratch = try Scratch()
    let adapter = WeightedAdapter(path: Fixture.path("llama/lora_layers"))
    let base = Fixture.path("llama/nf4")
    let report = try merge(base, [adapter], to: scratch.file("out")) { $0.quantization = .nf4 }
    let (found, stored) = (try readModel(scratch.file("out")), try readModel(base))
    #expect(Set(found.keys) == Set(stored.keys))
    let changed = Set(report.changes.map(\.tensor))
    #expect(!changed.isEmpty)
    for (name, tensor) in stored where !changed.contains(CompanionName.weight(of: name)) {
      #expect(found[name] == tensor, "\(name)")
    }
    for name in changed { #expect(found[name] != stored[name]) }
    // The base has its scales in f32, and so has the output.
    #expect(found.keys.allSatisfy { !$0.contains("nested") })
  }

  @Test func smallChangesAreLost() throws {
    let scratch = try Scratch()
    let small = WeightedAdapter(path: lora.path, weight: 0.002)
    let base = Fixture.path("llama/nf4_dq")
    let report = try merge(base, [small], to: scratch.file("out")) { $0.quantization = .nf4 }
    let lost = report.warnings.filter { if case .lostInQuantization = $0 { true } else { false } }
    #expect(lost.count > 3)
    #expect(throws: MergeError.self) {
      try merge(base, [small], to: scratch.file("strict")) {
        $0.quantization = .nf4
        $0.minimumRetention = 0.5
      }
    }
    #expect(scratch.names == ["out"])
    // The originals' weights keep it: rounded to the nearest code with the error that it had before.
    let better = try merge(base, [WeightedAdapter(path: lora.path)], to: scratch.file("better")) {
      $0.quantization = .nf4
      $0.baseWeights = llama
    }
    #expect(better.changes.allSatisfy { ($0.retention ?? 0) > 0.9 })
  }

  @Test func threadsAndShardsChangeNothing() throws {
    let scratch = try Scratch()
    for threads in [1, 3] {
      try merge(llama, [lora], to: scratch.file("\(threads)")) {
        $0.threads = threads
        $0.quantization = .nf4
      }
    }
    #expect(try readFolder(scratch.file("1")) == readFolder(scratch.file("3")))
    try merge(llama, [lora], to: scratch.file("small")) {
      $0.quantization = .nf4
      $0.maximumShardSize = 6000
    }
    #expect(try readModel(scratch.file("small")) == readModel(scratch.file("1")))
    let checkpoint = try Checkpoint(path: scratch.file("small"))
    for tensor in checkpoint.tensors {
      #expect(checkpoint[CompanionName.weight(of: tensor.name)]?.shard == tensor.shard)
    }
  }
}
