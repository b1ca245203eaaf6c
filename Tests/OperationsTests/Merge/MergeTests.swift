import Adapters
import CKernels
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

private func merge(
  _ base: String, _ adapters: [WeightedAdapter], to out: String,
  _ change: (inout MergeRequest) -> Void = { _ in }
) throws -> MergeReport {
  var request = MergeRequest(base: base, adapters: adapters, output: out, threads: 2)
  change(&request)
  return try MergeOperation(MergePlan(request)).run()
}

private let llama = Fixture.path("llama/base")
private let lora = WeightedAdapter(path: Fixture.path("llama/lora"))

@Suite struct MergeOutputTests {
  @Test func completeFolder() throws {
    let scratch = try Scratch()
    let out = scratch.file("out")
    _ = try merge(llama, [lora], to: out)
    #expect(try FileSystem.names(in: out) == FileSystem.names(in: llama))
    #expect(scratch.names == ["out"])
    let index = try JSONValue.parse(
      InputFile(path: out + "/model.safetensors.index.json").readAll())
    #expect(index["metadata"]?["total_size"]?.int == 168_576)
    #expect(
      try InputFile(path: out + "/config.json").readAll()
        == InputFile(path: llama + "/config.json").readAll())
  }

  @Test func shardSizeDividesAnew() throws {
    let scratch = try Scratch()
    _ = try merge(llama, [lora], to: scratch.file("one"))
    _ = try merge(llama, [lora], to: scratch.file("many")) { $0.maximumShardSize = 20_000 }
    let many = try Checkpoint(path: scratch.file("many"))
    #expect(many.shards.count > 8)
    #expect(many.problems.isEmpty)
    #expect(try readModel(scratch.file("one")) == readModel(scratch.file("many")))
    _ = try merge(llama, [lora], to: scratch.file("all")) { $0.maximumShardSize = 1 << 30 }
    #expect(try Checkpoint(path: scratch.file("all")).shardNames == ["model.safetensors"])
    #expect(!FileSystem.exists(scratch.file("all/model.safetensors.index.json")))
  }

  @Test func singleFile() throws {
    let scratch = try Scratch()
    let out = scratch.file("merged.safetensors")
    let base = Fixture.path("bert/base/model.safetensors")
    _ = try merge(base, [WeightedAdapter(path: Fixture.path("bert/lora"))], to: out)
    _ = try merge(
      Fixture.path("bert/base"), [WeightedAdapter(path: Fixture.path("bert/lora"))],
      to: scratch.file("folder"))
    #expect(try readModel(out) == readModel(scratch.file("folder")))
    #expect(scratch.names == ["folder", "merged.safetensors"])
  }

  @Test func existingOutputStays() throws {
    let scratch = try Scratch()
    let out = scratch.file("out")
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: false)
    try Data("mine".utf8).write(to: URL(filePath: out + "/note"))
    #expect(throws: FileError.self) { try merge(llama, [lora], to: out) }
    #expect(try readFolder(out) == ["note": Array("mine".utf8)])
    _ = try merge(llama, [lora], to: out) { $0.replacing = true }
    #expect(!FileSystem.exists(out + "/note"))
    #expect(scratch.names == ["out"])
  }

  @Test func otherElementTypes() throws {
    let scratch = try Scratch()
    let out = scratch.file("out")
    _ = try merge(llama, [lora], to: out) { $0.element = .f32 }
    let merged = try readModel(out)
    #expect(merged.values.allSatisfy { $0.dtype == .f32 })
    let config = try JSONValue.parse(InputFile(path: out + "/config.json").readAll())
    #expect(config["dtype"]?.string == "float32")
    // Rounded to bf16, the f32 result is the bf16 result: there is one rounding on the way.
    _ = try merge(llama, [lora], to: scratch.file("bf16"))
    for (name, stored) in try readModel(scratch.file("bf16")) {
      let wide = try #require(merged[name])
      let values = wide.values.map(Float.init)
      #expect(ElementType.bf16.rounded(values) == stored.bytes, "\(name)")
    }
  }

  /// Every case in every element type: nothing is read with the wrong one.
  @Test(arguments: Fixture.merges, [ElementType.f32, .f16, .bf16])
  func everyCaseInEveryType(_ name: String, _ element: ElementType) throws {
    let scratch = try Scratch()
    let adapter = WeightedAdapter(path: Fixture.path(name))
    _ = try merge(Fixture.base(of: name), [adapter], to: scratch.file("kept"))
    _ = try merge(Fixture.base(of: name), [adapter], to: scratch.file("out")) {
      $0.element = element
    }
    let kept = try readModel(scratch.file("kept"))
    for (tensor, stored) in try readModel(scratch.file("out")) {
      let wanted = try #require(kept[tensor]).values
      let largest = wanted.map(abs).max() ?? 0
      for (a, b) in zip(stored.values, wanted) where abs(a - b) > largest * 0x1p-7 {
        Issue.record("\(tensor): \(a), expected \(b)")
        return
      }
    }
  }
}

@Suite struct MergeArithmeticTests {
  /// Several adapters in one rounding, against f64.
  @Test func weightedSum() throws {
    let scratch = try Scratch()
    let names = ["llama/lora", "llama/lora_rslora", "llama/lora_patterns"]
    let weights = [0.5, -1.25, 2]
    let adapters = zip(names, weights).map { WeightedAdapter(path: Fixture.path($0), weight: $1) }
    _ = try merge(llama, adapters, to: scratch.file("out"))
    let merged = try readModel(scratch.file("out"))
    let base = try readModel(llama)
    let scales = [2.0, 4.0]
    let target = "model.layers.0.self_attn.q_proj"
    var expected = try #require(base[target + ".weight"]).values
    for (name, weight) in zip(names.prefix(2), zip(weights, scales)) {
      let tensors = try readModel(Fixture.path(name + "/adapter_model.safetensors"))
      let a = try #require(tensors["base_model.model.\(target).lora_A.weight"])
      let b = try #require(tensors["base_model.model.\(target).lora_B.weight"])
      let config = try JSONValue.parse(
        InputFile(path: Fixture.path(name + "/adapter_config.json")).readAll())
      let rank = a.shape[0]
      let alpha = try #require(config["lora_alpha"]?.double)
      let scale =
        config["use_rslora"]?.bool == true
        ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
      let (av, bv) = (a.values, b.values)
      for row in 0..<64 {
        for column in 0..<64 {
          var sum = 0.0
          for k in 0..<rank { sum += bv[row * rank + k] * av[k * 64 + column] }
          expected[row * 64 + column] += weight.0 * scale * sum
        }
      }
    }
    // The third adapter is taken out again, so that only the first two remain.
    let without = [adapters[0], adapters[1]]
    _ = try merge(llama, without, to: scratch.file("two"))
    let found = try #require(readModel(scratch.file("two"))[target + ".weight"]).values
    let largest = expected.map(abs).max() ?? 0
    for index in expected.indices {
      let bound = max(abs(expected[index]) * 0x1p-8, largest * 0x1p-20)
      #expect(abs(found[index] - expected[index]) <= bound, "element \(index)")
    }
    #expect(try merged != readModel(scratch.file("two")))
  }

  @Test func weightZeroChangesNothing() throws {
    let scratch = try Scratch()
    #expect(throws: MergeError.self) {
      try merge(llama, [WeightedAdapter(path: lora.path, weight: 0)], to: scratch.file("out"))
    }
    #expect(scratch.names.isEmpty)
  }

  @Test func retentionIsReported() throws {
    let scratch = try Scratch()
    let report = try merge(llama, [lora], to: scratch.file("out"))
    for change in report.changes {
      let retention = try #require(change.retention)
      #expect(abs(retention - 1) < 0.05)
      #expect(change.deltaNorm > 0 && change.weightNorm > 0)
    }
    // A change far below the stored type's steps is lost, and said to be.
    let tiny = try merge(
      llama, [WeightedAdapter(path: lora.path, weight: 1e-4)], to: scratch.file("tiny"))
    #expect(
      tiny.warnings.contains { if case .lowRetention = $0 { true } else { false } })
    #expect(throws: MergeError.self) {
      try merge(
        llama, [WeightedAdapter(path: lora.path, weight: 1e-4)], to: scratch.file("refused")
      ) { $0.minimumRetention = 0.9 }
    }
    #expect(!FileSystem.exists(scratch.file("refused")))
  }

  @Test func doraRowNormsAreTheMagnitudes() throws {
    let scratch = try Scratch()
    _ = try merge(
      Fixture.path("gpt2/base"), [WeightedAdapter(path: Fixture.path("gpt2/dora"))],
      to: scratch.file("out"))
    let merged = try readModel(scratch.file("out"))
    let adapter = try readModel(Fixture.path("gpt2/dora/adapter_model.safetensors"))
    // Conv1D stores in × out: the rows of the layer are columns of the file.
    let weight = try #require(merged["transformer.h.0.attn.c_attn.weight"])
    let magnitude = try #require(
      adapter["base_model.model.transformer.h.0.attn.c_attn.lora_magnitude_vector"]
    ).values
    let values = weight.values
    for column in 0..<144 {
      let norm = (0..<48).reduce(0.0) { $0 + values[$1 * 144 + column] * values[$1 * 144 + column] }
      #expect(abs(norm.squareRoot() - abs(magnitude[column])) < 1e-5)
    }
  }
}

/// Tests that choose the kernels' path run one after the other.
@Suite(.serialized) struct MergeDeterminismTests {
  @Test(arguments: ["llama/lora", "gpt2/dora", "vit/lora", "mixtral/lora_params"])
  func sameBytesOnEveryPathAndThreadCount(_ name: String) throws {
    let before = ck_get_path()
    defer { _ = ck_set_path(before) }
    var first: [String: [UInt8]]?
    for path in [CK_PATH_PORTABLE, CK_PATH_AVX2, CK_PATH_AVX512, CK_PATH_NEON]
    where ck_set_path(path) == 0 {
      for threads in [1, 2, 5] {
        let scratch = try Scratch()
        _ = try merge(
          Fixture.base(of: name), [WeightedAdapter(path: Fixture.path(name))],
          to: scratch.file("out")
        ) { $0.threads = threads }
        let files = try readFolder(scratch.file("out"))
        if let first {
          #expect(files == first, "path \(path.rawValue), \(threads) threads")
        } else {
          first = files
        }
      }
    }
  }

  /// A model of several blocks, whose rows do not end where blocks do.
  @Test func blocksDoNotShow() throws {
    let scratch = try Scratch()
    let (rows, columns, rank) = (1900, 1531, 3)
    var generator = SeededFloats(state: 3)
    let base = StoredTensor(
      dtype: .bf16, shape: [rows, columns],
      bytes: ElementType.bf16.rounded((0..<rows * columns).map { _ in generator.float() }))
    let a = (0..<rank * columns).map { _ in generator.float() }
    let b = (0..<rows * rank).map { _ in generator.float() }
    try FileManager.default.createDirectory(
      atPath: scratch.file("adapter"), withIntermediateDirectories: false)
    try writeFile(scratch.file("base.safetensors"), ["x.weight": base])
    try writeFile(
      scratch.file("adapter/adapter_model.safetensors"),
      [
        "base_model.model.x.lora_A.weight": StoredTensor(
          dtype: .f32, shape: [rank, columns], bytes: ElementType.f32.rounded(a)),
        "base_model.model.x.lora_B.weight": StoredTensor(
          dtype: .f32, shape: [rows, rank], bytes: ElementType.f32.rounded(b)),
      ])
    try Data(#"{"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": ["x"]}"#.utf8)
      .write(to: URL(filePath: scratch.file("adapter/adapter_config.json")))
    _ = try merge(
      scratch.file("base.safetensors"), [WeightedAdapter(path: scratch.file("adapter"))],
      to: scratch.file("out.safetensors"))
    let found = try #require(readModel(scratch.file("out.safetensors"))["x.weight"])
    // The slow, obvious twin.
    let w0 = ElementType.bf16.widened(base.bytes)
    var expected = w0
    for row in 0..<rows {
      for column in 0..<columns {
        var sum: Float = 0
        for k in 0..<rank { sum = sum.addingProduct(b[row * rank + k], a[k * columns + column]) }
        expected[row * columns + column] += 2 * sum
      }
    }
    #expect(found.bytes == ElementType.bf16.rounded(expected))
  }
}

/// A small generator with a fixed sequence.
private struct SeededFloats {
  var state: UInt64

  mutating func float() -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    z ^= z >> 31
    return Float(Int64(bitPattern: z) >> 40) * 0x1p-23
  }
}
