import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

private func fixture(_ name: String, _ weight: Double = 1) -> WeightedAdapter {
  WeightedAdapter(path: Fixture.path(name), weight: weight)
}

/// What else a merge does to a model, undone with a record.
@Suite struct UnmergeTests {
  static let llama = Fixture.path("llama/base")

  /// Several adapters: sums stay candidates, chains are differences.
  @Test(arguments: [
    ([fixture("llama/lora"), fixture("llama/lora_rslora", -0.25)], UndoCoding.candidates),
    ([fixture("llama/lora"), fixture("llama/dora")], .difference),
    ([fixture("llama/dora", 0.5)], .difference),
    ([fixture("llama/lora", 1e6)], .candidates),
  ])
  func severalAdapters(_ adapters: [WeightedAdapter], _ coding: UndoCoding) throws {
    let run = UnmergeRun(Self.llama, adapters, in: try Scratch())
    try run.merge()
    try run.unmerge()
    #expect(try differences(run.base, run.back) == [])
    #expect(try UndoRecord(path: run.record).manifest.tensors.contains { $0.coding == coding })
  }

  /// The record does not depend on threads, blocks, shards, or the path that an adapter has.
  @Test func sameRecord() throws {
    let run = UnmergeRun(Self.llama, [fixture("llama/dora")], in: try Scratch())
    try run.merge { $0.threads = 1 }
    let one = try InputFile(path: run.record).readAll()
    try run.merge {
      $0.threads = 3
      $0.replacing = true
    }
    #expect(try InputFile(path: run.record).readAll() == one)
    try run.merge {
      $0.maximumShardSize = 30_000
      $0.replacing = true
    }
    #expect(try InputFile(path: run.record).readAll() == one)
    try run.unmerge()
    #expect(try differences(run.base, run.back) == [])
  }

  /// The same adapter in the other format is the same adapter.
  @Test func container() throws {
    let scratch = try Scratch()
    let file = scratch.file("adapter.safetensors")
    _ = try AdapterConversion(input: Fixture.path("llama/lora"), output: file, target: nil).run()
    let run = UnmergeRun(Self.llama, [WeightedAdapter(path: file)], in: scratch)
    try run.merge()
    try run.unmerge { $0.adapters = [fixture("llama/lora")] }
    #expect(try differences(run.base, run.back) == [])
  }

  @Test func recordElsewhere() throws {
    let run = UnmergeRun(Self.llama, [fixture("llama/lora")], in: try Scratch())
    try run.merge()
    try FileManager.default.moveItem(atPath: run.record, toPath: run.scratch.file("record"))
    #expect(try run.unmerge { $0.record = run.scratch.file("record") }.exact)
    #expect(try differences(run.base, run.back) == [])
    #expect(throws: UndoError.self) { try run.unmerge { $0.record = "/nowhere" } }
  }

  /// A base that is one bare file with a header that this tool would not write: its order, its spaces, its
  /// metadata come back.
  @Test func foreignHeader() throws {
    let scratch = try Scratch()
    let header = """
      { "b.weight": {"shape":[2,2], "dtype":"F32", "data_offsets":[0,16], "extra": 1},
        "a.weight" : {"dtype":"BF16","shape":[2, 2],"data_offsets":[24,32]},
        "__metadata__": {"made":"by hand"},
        "ids":{"dtype":"I64","shape":[1],"data_offsets":[16,24]} }
      """
    var bytes = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
    bytes += Array(header.utf8) + (0..<32).map { UInt8($0 * 7) }
    try Data(bytes).write(to: URL(filePath: scratch.file("base.safetensors")))
    try SyntheticAdapter.ones(scratch.file("adapter"), modules: [("a", 2, 2), ("b", 2, 2)])
    let run = UnmergeRun(
      scratch.file("base.safetensors"), [WeightedAdapter(path: scratch.file("adapter"))],
      in: scratch)
    try run.merge()
    try run.unmerge()
    #expect(try readFolder(run.back) == ["base.safetensors": bytes])
    try run.unmerge { $0.output = scratch.file("again.safetensors") }
    #expect(try InputFile(path: scratch.file("again.safetensors")).readAll() == bytes)
  }

  /// Tensors that are larger than a block, whose rows, chunks and blocks end in different places.
  @Test func manyBlocks() throws {
    let scratch = try Scratch()
    let (rows, columns) = (1700, 1531)
    var random = FixedNumbers(state: 3)
    let elements = (0..<rows * columns).map { _ in 0.02 * random.float() }
    try writeFile(
      scratch.file("base.safetensors"),
      [
        "x.weight": StoredTensor(
          dtype: .bf16, shape: [rows, columns], bytes: ElementType.bf16.rounded(elements))
      ])
    try SyntheticAdapter.write(
      scratch.file("adapter"), config: ["peft_type": "LORA", "r": 2, "lora_alpha": 2],
      tensors: [
        "base_model.model.x.lora_A.weight": .f32([2, columns], random.floats(2 * columns, 0.01)),
        "base_model.model.x.lora_B.weight": .f32([rows, 2], random.floats(rows * 2, 0.1)),
      ])
    let run = UnmergeRun(
      scratch.file("base.safetensors"), [WeightedAdapter(path: scratch.file("adapter"))],
      in: scratch)
    let undo = try #require(run.merge().undo)
    #expect(undo.bytes < rows * columns * 2 / 20)
    try run.unmerge()
    #expect(
      try InputFile(path: run.back + "/base.safetensors").readAll()
        == InputFile(path: run.base).readAll())
  }

  // MARK: - Tensors that come and go

  private static let table = StoredTensor.f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8])
  private static let square = StoredTensor.f32([2, 2], [1, 1, 1, 1])

  /// A tied model and an adapter of ones on `modules`.
  private func tied(
    _ scratch: Scratch, modules: [(String, Int, Int)], config: JSONObject = [:],
    extra: [String: StoredTensor] = [:]
  ) throws -> UnmergeRun {
    try writeModel(
      scratch.file("base"), config: ["model_type": "llama", "tie_word_embeddings": true],
      ["model.embed_tokens.weight": Self.table, "model.q.weight": Self.square])
    try SyntheticAdapter.ones(
      scratch.file("adapter"), modules: modules, config: config, extra: extra)
    return UnmergeRun(
      scratch.file("base"), [WeightedAdapter(path: scratch.file("adapter"))], in: scratch)
  }

  @Test func untiedHead() throws {
    let run = try tied(try Scratch(), modules: [("lm_head", 4, 2)])
    try run.merge()
    #expect(try readModel(run.merged).count == 3)
    let report = try run.unmerge()
    #expect(report.dropped == 1)
    #expect(try differences(run.base, run.back) == [])
  }

  /// The merge's options are in the record: the same head is found again.
  @Test func untiedOnRequest() throws {
    let factors: [String: StoredTensor] = [
      "base_model.model.model.embed_tokens.lora_embedding_A": .f32([1, 4], [1, 1, 1, 1]),
      "base_model.model.model.embed_tokens.lora_embedding_B": .f32([2, 1], [1, 1]),
    ]
    let run = try tied(try Scratch(), modules: [], extra: factors)
    try run.merge { $0.unties = true }
    try run.unmerge()
    #expect(try differences(run.base, run.back) == [])
  }

  @Test func newHeadAndReplacedEmbedding() throws {
    let run = try tied(
      try Scratch(), modules: [("model.q", 2, 2)],
      config: ["task_type": "SEQ_CLS", "modules_to_save": ["embed_tokens"]],
      extra: [
        "base_model.model.score.weight": .f32([3, 2], [1, 2, 3, 4, 5, 6]),
        "base_model.model.model.embed_tokens.weight": .f32(
          [4, 2], Self.table.values.map { Float($0) + 100 }),
      ])
    try run.merge()
    try run.unmerge()
    #expect(try differences(run.base, run.back) == [])
  }

  /// The vocabulary grows, and the adapter brings a tokenizer: one file for another, and one more.
  @Test func resizedVocabulary() throws {
    let scratch = try Scratch()
    let run = try tied(
      scratch, modules: [("model.q", 2, 2)],
      extra: [
        "base_model.model.model.embed_tokens.weight": .f32([6, 2], (0..<12).map(Float.init))
      ])
    for (name, text) in [
      ("base/tokenizer.json", "old"), ("base/README.md", "read me"),
      ("adapter/tokenizer.json", "new"), ("adapter/added_tokens.json", "more"),
    ] {
      try Data(text.utf8).write(to: URL(filePath: scratch.file(name)))
    }
    try run.merge()
    #expect(FileSystem.exists(run.merged + "/added_tokens.json"))
    try run.unmerge()
    #expect(try differences(run.base, run.back) == [])
  }

  /// Repeated layers become one again; a layer that the merge left out comes out of the record.
  @Test func repeatedLayers() throws {
    let scratch = try Scratch()
    var tensors: [String: StoredTensor] = ["model.norm.weight": .f32([2], [1, 1])]
    for layer in 0..<4 {
      tensors["model.layers.\(layer).q.weight"] = .f32(
        [2, 2], Array(repeating: Float(10 * layer), count: 4))
    }
    try writeModel(
      scratch.file("base"), config: ["model_type": "llama", "num_hidden_layers": 4], tensors)
    try SyntheticAdapter.ones(
      scratch.file("adapter"),
      modules: [
        ("model.layers.0.q", 2, 2), ("model.layers.1.q", 2, 2), ("model.layers.3.q", 2, 2),
      ],
      config: ["layer_replication": [[0, 2], [1, 3]]])
    let run = UnmergeRun(
      scratch.file("base"), [WeightedAdapter(path: scratch.file("adapter"))], in: scratch)
    try run.merge()
    let codings = try UndoRecord(path: run.record).manifest.tensors.map { ($0.name, $0.coding) }
    #expect(Dictionary(uniqueKeysWithValues: codings)["model.layers.3.q.weight"] == .original)
    try run.unmerge()
    #expect(try differences(run.base, run.back) == [])
  }

  /// Forms of other methods: rows times γ, a norm's new values, a bias that is changed or made.
  @Test func otherMethods() throws {
    let scratch = try Scratch()
    let elements = (0..<64).map { Float($0) * 0.37 - 9 }
    try writeModel(
      scratch.file("base"), config: ["model_type": "llama"],
      [
        "model.q.weight": StoredTensor(
          dtype: .f16, shape: [8, 8], bytes: ElementType.f16.rounded(elements)),
        "model.q.bias": StoredTensor(
          dtype: .f16, shape: [8], bytes: ElementType.f16.rounded(Array(elements[..<8]))),
        "model.k.weight": StoredTensor(
          dtype: .f16, shape: [8, 8], bytes: ElementType.f16.rounded(elements)),
      ])
    let gamma = (0..<8).map { 1.7 - Float($0) / 2.5 }
    let ones = [Float](repeating: 0.3, count: 8)
    try SyntheticAdapter.write(
      scratch.file("adapter"),
      config: ["peft_type": "ONELORA", "train_bias": true, "train_scale": true],
      tensors: [
        "base_model.model.model.q.onelora_b": .f32([8], ones),
        "base_model.model.model.q.bitfit_bias": .f32([8], ones),
        "base_model.model.model.q.difffit_scale": .f32([8], gamma),
        "base_model.model.model.k.onelora_b": .f32([8], ones),
        "base_model.model.model.k.bitfit_bias": .f32([8], ones),
      ])
    let run = UnmergeRun(
      scratch.file("base"), [WeightedAdapter(path: scratch.file("adapter"))], in: scratch)
    try run.merge()
    #expect(try readModel(run.merged)["model.k.bias"] != nil)
    let header = try UndoRecord(path: run.record).file.header
    #expect(header["factors/model.q.weight"] == nil, "γ is the adapter's")
    try run.unmerge()
    #expect(try differences(run.base, run.back) == [])
  }
}
