import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// How adapters find their base's tensors, and what happens when they do not.
@Suite struct MatchingTests {
  private func run(
    _ base: String, _ adapter: String, _ out: String,
    _ change: (inout MergeRequest) -> Void = { _ in }
  ) throws -> MergeReport {
    var request = MergeRequest(
      base: base, adapters: [WeightedAdapter(path: adapter)], output: out, threads: 1)
    change(&request)
    return try MergeOperation(MergePlan(request)).run()
  }

  private static let zeros = StoredTensor.f32([4, 4], Array(repeating: 0.5, count: 16))

  @Test(arguments: [
    ("model.layers.0.q", "layers.0.q"), ("layers.0.q", "model.layers.0.q"),
    ("bert.encoder.q", "encoder.q"), ("q", "q"),
  ])
  func prefixes(_ inBase: String, _ inAdapter: String) throws {
    let scratch = try Scratch()
    try writeModel(scratch.file("base"), config: [:], [inBase + ".weight": Self.zeros])
    try SyntheticAdapter.ones(scratch.file("adapter"), modules: [(inAdapter, 4, 4)])
    _ = try run(scratch.file("base"), scratch.file("adapter"), scratch.file("out"))
    let merged = try readModel(scratch.file("out"))
    #expect(merged == [inBase + ".weight": .f32([4, 4], Array(repeating: 1.5, count: 16))])
  }

  @Test func unmatchedNamesTheNearest() throws {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("base"), config: [:],
      ["model.q_proj.weight": Self.zeros, "model.up_proj.weight": Self.zeros])
    try SyntheticAdapter.ones(
      scratch.file("adapter"), modules: [("model.q_proj", 4, 4), ("model.upp_proj", 4, 4)])
    do {
      _ = try run(scratch.file("base"), scratch.file("adapter"), scratch.file("out"))
      Issue.record("should have been refused")
    } catch AdapterError.unmatched(_, let modules, let total) {
      #expect(modules.count == 2 && total == 4)
      #expect(modules[0].tensor == "base_model.model.model.upp_proj.lora_A.weight")
      #expect(modules[0].nearest == "model.up_proj.weight")
    }
    #expect(!FileSystem.exists(scratch.file("out")))
    let report = try run(scratch.file("base"), scratch.file("adapter"), scratch.file("out")) {
      $0.allowsUnused = true
    }
    #expect(report.unused.count == 2 && report.changes.count == 1)
  }

  @Test func wrongShape() throws {
    let scratch = try Scratch()
    try writeModel(scratch.file("base"), config: [:], ["q.weight": Self.zeros])
    try SyntheticAdapter.ones(scratch.file("adapter"), modules: [("q", 5, 4)])
    #expect(throws: AdapterError.self) {
      try run(scratch.file("base"), scratch.file("adapter"), scratch.file("out"))
    }
  }

  @Test(arguments: [("frobnicate", true), ("frobnicate", false)])
  func unknownSettings(_ name: String, _ isOn: Bool) throws {
    let scratch = try Scratch()
    try writeModel(scratch.file("base"), config: [:], ["q.weight": Self.zeros])
    try SyntheticAdapter.ones(
      scratch.file("adapter"), modules: [("q", 4, 4)], config: [name: .bool(isOn)])
    if isOn {
      #expect(throws: AdapterError.self) {
        try run(scratch.file("base"), scratch.file("adapter"), scratch.file("out"))
      }
      _ = try run(scratch.file("base"), scratch.file("adapter"), scratch.file("out")) {
        $0.ignoredSettings = [name]
      }
    } else {
      _ = try run(scratch.file("base"), scratch.file("adapter"), scratch.file("out"))
    }
  }

  @Test func promptsAreRefused() throws {
    let scratch = try Scratch()
    for name in ["prompt", "prefix"] {
      #expect(throws: (any Error).self) {
        try run(Fixture.path("llama/base"), Fixture.path("llama/" + name), scratch.file("out"))
      }
    }
    #expect(scratch.names.isEmpty)
  }

  @Test func picklesAreRefused() throws {
    let scratch = try Scratch()
    try SyntheticAdapter.ones(scratch.file("adapter"), modules: [("q", 4, 4)])
    try FileManager.default.moveItem(
      atPath: scratch.file("adapter/adapter_model.safetensors"),
      toPath: scratch.file("adapter/adapter_model.bin"))
    do {
      _ = try AdapterFile(path: scratch.file("adapter"))
      Issue.record("should have been refused")
    } catch AdapterError.pickle(let path) {
      #expect(path.hasSuffix("adapter_model.bin"))
    }
  }
}

/// Embeddings and heads that are one tensor.
@Suite struct TiedEmbeddingTests {
  private static let table = StoredTensor.f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8])
  private static let config: JSONObject = ["model_type": "llama", "tie_word_embeddings": true]

  private func merge(
    _ scratch: Scratch, modules: [(String, Int, Int)], config: JSONObject = [:],
    extra: [String: StoredTensor] = [:], untie: Bool = false, table: StoredTensor = Self.table,
    as element: ElementType? = nil
  ) throws -> (tensors: [String: StoredTensor], config: JSONValue, report: MergeReport) {
    try writeModel(
      scratch.file("base"), config: Self.config,
      ["model.embed_tokens.weight": table, "model.q.weight": .f32([2, 2], [1, 1, 1, 1])])
    try SyntheticAdapter.ones(
      scratch.file("adapter"), modules: modules, config: config, extra: extra)
    var request = MergeRequest(
      base: scratch.file("base"), adapters: [WeightedAdapter(path: scratch.file("adapter"))],
      output: scratch.file("out"), threads: 1)
    request.unties = untie
    request.element = element
    let report = try MergeOperation(MergePlan(request)).run()
    let json = try JSONValue.parse(InputFile(path: scratch.file("out/config.json")).readAll())
    return (try readModel(scratch.file("out")), json, report)
  }

  private func plus(_ tensor: StoredTensor, _ value: Float) -> StoredTensor {
    .f32(tensor.shape, tensor.values.map { Float($0) + value })
  }

  @Test func factorsOnTheHeadUntieIt() throws {
    let scratch = try Scratch()
    let (tensors, config, report) = try merge(scratch, modules: [("lm_head", 4, 2)])
    #expect(tensors["lm_head.weight"] == plus(Self.table, 1))
    #expect(tensors["model.embed_tokens.weight"] == Self.table)
    #expect(config["tie_word_embeddings"]?.bool == false)
    #expect(report.added == ["lm_head.weight"])
  }

  @Test func replacedHeadUnties() throws {
    let scratch = try Scratch()
    let head = plus(Self.table, 100)
    let (tensors, config, _) = try merge(
      scratch, modules: [("model.q", 2, 2)], config: ["modules_to_save": ["lm_head"]],
      extra: ["base_model.model.lm_head.weight": head])
    #expect(tensors["lm_head.weight"] == head)
    #expect(tensors["model.embed_tokens.weight"] == Self.table)
    #expect(config["tie_word_embeddings"]?.bool == false)
  }

  @Test func replacedEmbeddingLeavesTheHead() throws {
    let scratch = try Scratch()
    let embedding = plus(Self.table, 100)
    let (tensors, config, _) = try merge(
      scratch, modules: [("model.q", 2, 2)], config: ["modules_to_save": ["embed_tokens"]],
      extra: ["base_model.model.model.embed_tokens.weight": embedding])
    #expect(tensors["model.embed_tokens.weight"] == embedding)
    #expect(tensors["lm_head.weight"] == Self.table)
    #expect(config["tie_word_embeddings"]?.bool == false)
  }

  /// Of a base in 16 bits, written in 32: what replaces its tensors keeps its bits.
  @Test func replacementsAreRoundedOnceToTheOutput() throws {
    let scratch = try Scratch()
    let (rows, columns) = (300, 70)
    let elements = (0..<rows * columns).map { 1 + Float($0) * 0x1p-20 }
    let (embedding, head) = (
      StoredTensor.f32([rows, columns], elements),
      StoredTensor.f32([rows, columns], elements.map { -$0 })
    )
    let (tensors, config, _) = try merge(
      scratch, modules: [("model.q", 2, 2)],
      config: ["modules_to_save": ["embed_tokens", "lm_head"]],
      extra: [
        "base_model.model.model.embed_tokens.weight": embedding,
        "base_model.model.lm_head.weight": head,
      ], table: .bf16([rows, columns], elements), as: .f32)
    #expect(tensors["model.embed_tokens.weight"] == embedding)
    #expect(tensors["lm_head.weight"] == head)
    #expect(config["tie_word_embeddings"]?.bool == false)
  }

  private static let embeddingFactors: [String: StoredTensor] = [
    "base_model.model.model.embed_tokens.lora_embedding_A": .f32([1, 4], [1, 1, 1, 1]),
    "base_model.model.model.embed_tokens.lora_embedding_B": .f32([2, 1], [1, 1]),
  ]

  @Test func factorsOnTheEmbeddingChangeBothAsInPEFT() throws {
    let scratch = try Scratch()
    let (tensors, config, report) = try merge(
      scratch, modules: [], extra: Self.embeddingFactors)
    #expect(tensors["model.embed_tokens.weight"] == plus(Self.table, 1))
    #expect(tensors["lm_head.weight"] == nil)
    #expect(config["tie_word_embeddings"]?.bool == true)
    #expect(
      report.warnings.contains { if case .tiedHeadChanges = $0 { true } else { false } })
  }

  @Test func factorsOnTheEmbeddingAloneWhenAskedFor() throws {
    let scratch = try Scratch()
    let (tensors, config, _) = try merge(
      scratch, modules: [], extra: Self.embeddingFactors, untie: true)
    #expect(tensors["model.embed_tokens.weight"] == plus(Self.table, 1))
    #expect(tensors["lm_head.weight"] == Self.table)
    #expect(config["tie_word_embeddings"]?.bool == false)
  }

  /// Two more tokens: the adapter brings the whole tables, and factors on top of one.
  @Test func resizedVocabulary() throws {
    let scratch = try Scratch()
    let larger = StoredTensor.f32([6, 2], (0..<12).map(Float.init))
    let (tensors, config, _) = try merge(
      scratch, modules: [("model.q", 2, 2)],
      extra: ["base_model.model.model.embed_tokens.weight": larger])
    #expect(tensors["model.embed_tokens.weight"] == larger)
    #expect(config["vocab_size"]?.int == 6)
    #expect(config["tie_word_embeddings"]?.bool == true)
  }

  @Test func newHead() throws {
    let scratch = try Scratch()
    let score = StoredTensor.f32([3, 2], [1, 2, 3, 4, 5, 6])
    let (tensors, _, report) = try merge(
      scratch, modules: [("model.q", 2, 2)], config: ["task_type": "SEQ_CLS"],
      extra: ["base_model.model.score.weight": score])
    #expect(tensors["score.weight"] == score)
    #expect(report.added == ["score.weight"])
  }
}

@Suite struct LayerReplicationTests {
  @Test func repeatedLayersBecomeTensors() throws {
    let scratch = try Scratch()
    var tensors: [String: StoredTensor] = ["model.norm.weight": .f32([2], [1, 1])]
    for layer in 0..<3 {
      tensors["model.layers.\(layer).q.weight"] = .f32(
        [2, 2], Array(repeating: Float(10 * layer), count: 4))
    }
    try writeModel(
      scratch.file("base"), config: ["model_type": "llama", "num_hidden_layers": 3], tensors)
    try SyntheticAdapter.ones(
      scratch.file("adapter"),
      modules: [("model.layers.0.q", 2, 2), ("model.layers.3.q", 2, 2)],
      config: ["layer_replication": [[0, 2], [1, 3]]])
    _ = try MergeOperation(
      MergePlan(
        MergeRequest(
          base: scratch.file("base"),
          adapters: [WeightedAdapter(path: scratch.file("adapter"))], output: scratch.file("out"),
          threads: 1))
    ).run()
    let merged = try readModel(scratch.file("out"))
    let values = (0..<4).map { merged["model.layers.\($0).q.weight"]?.values.first }
    #expect(values == [1, 10, 10, 21])
    #expect(merged.count == 5)
    let config = try JSONValue.parse(InputFile(path: scratch.file("out/config.json")).readAll())
    #expect(config["num_hidden_layers"]?.int == 4)
  }
}
