import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

@Suite struct ExtractTests {
  private let base = Fixture.path("llama/base")

  private func merge(
    _ adapter: String, onto base: String, to out: String, element: ElementType? = .f32
  ) throws {
    var request = MergeRequest(
      base: base, adapters: [WeightedAdapter(path: adapter)], output: out, threads: 1)
    request.element = element
    _ = try MergeOperation(MergePlan(request)).run()
  }

  private func extract(
    _ base: String, _ tuned: String, _ out: String,
    _ change: (inout ExtractRequest) -> Void
  ) throws -> ExtractReport {
    var request = ExtractRequest(base: base, tuned: tuned, output: out)
    change(&request)
    return try ExtractOperation(request).run()
  }

  /// A merged LoRA comes back, and merging it again gives the tuned model.
  @Test(arguments: [
    ("llama", "llama/lora", ElementType.f32), ("llama", "llama/lora_patterns", .f32),
    ("llama", "llama/lora", .bf16), ("gpt2", "gpt2/lora", .f32),
  ])
  func backFromMerged(_ architecture: String, _ adapter: String, _ element: ElementType) throws {
    let scratch = try Scratch()
    let base = Fixture.path(architecture + "/base")
    try merge(Fixture.path(adapter), onto: base, to: scratch.file("tuned"), element: element)
    let rank = adapter.hasSuffix("patterns") ? 6 : 4
    let report = try extract(base, scratch.file("tuned"), scratch.file("out")) {
      $0.size = .rank(rank)
    }
    #expect(report.method == .lora && report.replaced.isEmpty)
    #expect(report.keptEnergy > (element == .f32 ? 1 - 1e-9 : 0.99))
    let inspection = try AdapterInspection(path: scratch.file("out"), base: base)
    #expect(inspection.isSound)
    guard element == .f32 else { return }
    try merge(scratch.file("out"), onto: base, to: scratch.file("again"))
    let (wanted, found) = (
      try readModel(scratch.file("tuned")), try readModel(scratch.file("again"))
    )
    for (name, tensor) in wanted {
      #expect(relativeDistance(found[name]?.values ?? [], tensor.values) < 1e-6, "\(name)")
    }
    if architecture == "llama" {
      let changes = (try changes(of: Fixture.path(adapter)), try changes(of: scratch.file("out")))
      for (module, change) in changes.0 {
        #expect(
          relativeDistance(changes.1[module]?.values ?? [], change.values) < 1e-5, "\(module)")
      }
    }
  }

  /// A merged DoRA comes back at its rank as magnitudes and a LoRA of the direction, where LoRA of the
  /// same rank keeps less.
  @Test func directions() throws {
    let scratch = try Scratch()
    let base = Fixture.path("mixtral/base")
    try merge(Fixture.path("mixtral/dora"), onto: base, to: scratch.file("tuned"))
    var kept: [ExtractRequest.Method: [Double]] = [:]
    var paths: [String] = []
    for method in [ExtractRequest.Method.lora, .dora] {
      let report = try extract(base, scratch.file("tuned"), scratch.file(method.rawValue)) {
        $0.method = method
        $0.size = .rank(4)
      }
      #expect(report.method == method)
      kept[method] = report.modules.map(\.keptEnergy)
      paths = report.modules.map(\.module)
    }
    let (lora, dora) = (kept[.lora] ?? [], kept[.dora] ?? [])
    #expect(dora.count == 8 && zip(lora, dora).allSatisfy { $0 <= $1 + 1e-9 })
    #expect(dora.count { $0 > 1 - 1e-9 } >= 5 && lora.allSatisfy { $0 < 1 - 1e-3 })
    // What it says to keep is what a merge of it gives.
    try merge(scratch.file("dora"), onto: base, to: scratch.file("again"))
    let models = try ["tuned", "again"].map { try readModel(scratch.file($0)) }
    let original = try readModel(base)
    let inspection = try AdapterInspection(path: scratch.file("dora"), base: base)
    #expect(inspection.isSound)
    func squaredDistance(_ x: [Double], _ y: [Double]) -> Double {
      var sum = 0.0
      for (a, b) in zip(x, y) { sum += (a - b) * (a - b) }
      return sum
    }
    for (module, energy) in zip(paths, dora) {
      let (tuned, again) = (models[0][module + ".weight"], models[1][module + ".weight"])
      let wanted = try #require(tuned).values.map { Double($0) }
      let found = try #require(again).values.map { Double($0) }
      let start = try #require(original[module + ".weight"]).values.map { Double($0) }
      let kept = 1 - squaredDistance(wanted, found) / squaredDistance(wanted, start)
      #expect(abs(kept - energy) < 1e-5, "\(module)")
    }
  }

  /// `auto` takes a DoRA only where no LoRA of the rank does.
  @Test(arguments: [("llama/lora", ExtractRequest.Method.lora), ("mixtral/dora", .dora)])
  func automaticMethod(_ name: String, _ method: ExtractRequest.Method) throws {
    let scratch = try Scratch()
    let base = Fixture.path(name.split(separator: "/")[0] + "/base")
    try merge(Fixture.path(name), onto: base, to: scratch.file("tuned"))
    let report = try extract(base, scratch.file("tuned"), scratch.file("out")) {
      $0.size = .rank(8)
    }
    #expect(report.method == method && report.keptEnergy > 1 - 1e-6)
  }

  /// A head that was trained is stored whole, and a table that is also the head under both names.
  @Test(arguments: ["llama/lora_modules_to_save", "qwen/lora_embed"])
  func headsAndTiedTables(_ name: String) throws {
    let scratch = try Scratch()
    let base = Fixture.path(name.split(separator: "/")[0] + "/base")
    try merge(Fixture.path(name), onto: base, to: scratch.file("tuned"))
    let report = try extract(base, scratch.file("tuned"), scratch.file("out")) {
      $0.size = .rank(8)
    }
    #expect(report.modules.count == 2)
    let file = try AdapterFile(path: scratch.file("out"))
    let isTied = name.hasPrefix("qwen")
    #expect((file.config.settings["ensure_weight_tying"] == .bool(true)) == isTied)
    let stored = try readModel(scratch.file("out/adapter_model.safetensors"))
    let tuned = try readModel(scratch.file("tuned"))
    #expect(
      stored["base_model.model.lm_head.weight"]
        == tuned[isTied ? "model.embed_tokens.weight" : "lm_head.weight"])
  }

  /// The energy decides ranks; what is kept is what the full decomposition says.
  @Test func energy() throws {
    let scratch = try Scratch()
    try merge(Fixture.path("llama/lora"), onto: base, to: scratch.file("tuned"))
    let report = try extract(base, scratch.file("tuned"), scratch.file("out.safetensors")) {
      $0.size = .energy(0.8)
    }
    let exact = try changes(of: Fixture.path("llama/lora"))
    for module in report.modules {
      let change = try #require(exact[module.module])
      let squares = SingularValues(
        DenseMatrix(rows: change.rows, columns: change.columns, values: change.values)
      ).values.map { $0 * $0 }
      let total = squares.reduce(0, +)
      let kept = squares.prefix(module.rank).reduce(0, +) / total
      let fewer = squares.prefix(module.rank - 1).reduce(0, +) / total
      #expect(abs(kept - module.keptEnergy) < 1e-5 && kept >= 0.8 - 1e-6 && fewer < 0.8)
    }
    #expect(try AdapterInspection(path: scratch.file("out.safetensors"), base: base).isSound)
  }

  @Test(arguments: [ElementType.f32, .bf16])
  func oneLoRAIsRecognised(_ element: ElementType) throws {
    let scratch = try Scratch()
    let module = "model.layers.0.self_attn.k_proj"
    let b = (0..<32).map { Float($0 - 16) / 32 }
    try SyntheticAdapter.write(
      scratch.file("one"), config: ["peft_type": "ONELORA", "target_modules": [.string(module)]],
      tensors: ["base_model.model.\(module).onelora_b": .f32([32], b)])
    try merge(scratch.file("one"), onto: base, to: scratch.file("tuned"), element: element)
    let report = try extract(base, scratch.file("tuned"), scratch.file("out")) { _ in }
    #expect(report.method == .oneLoRA && report.modules.map(\.module) == [module])
    let found = try readModel(scratch.file("out/adapter_model.safetensors")).values.first?.values
    let tolerance = element == .f32 ? 1e-7 : 1e-3
    for (x, y) in zip(found ?? [], b) { #expect(abs(x - Double(y)) < tolerance) }
    #expect(found?.count == 32)
    #expect(try AdapterInspection(path: scratch.file("out"), base: base).isSound)
  }

  @Test(arguments: [true, false])
  func sboraIsRecognised(_ columns: Bool) throws {
    let scratch = try Scratch()
    let module = "model.layers.1.self_attn.v_proj"
    let values = (0..<(columns ? 32 : 64) * 3).map { Float($0 % 7) - 2.5 }
    let prefix = "base_model.model.\(module)."
    try SyntheticAdapter.write(
      scratch.file("sparse"),
      config: ["peft_type": "SBORA", "variant": columns ? "FA" : "FB"],
      tensors: [
        prefix + "sbora_index": StoredTensor(
          dtype: .i64, shape: [3],
          bytes: [5, 20, 9].flatMap { [$0] + [UInt8](repeating: 0, count: 7) }),
        prefix + (columns ? "sbora_B" : "sbora_A"): .f32(columns ? [32, 3] : [3, 64], values),
      ])
    try merge(scratch.file("sparse"), onto: base, to: scratch.file("tuned"))
    let report = try extract(base, scratch.file("tuned"), scratch.file("out")) { _ in }
    #expect(report.method == .sbora && report.modules.map(\.rank) == [3])
    #expect(report.keptEnergy == 1)
    try merge(scratch.file("out"), onto: base, to: scratch.file("again"))
    #expect(try readModel(scratch.file("again")) == readModel(scratch.file("tuned")))
  }

  /// Biases, norms and embeddings that changed are stored whole and merge to the same bytes.
  @Test func wholeTensors() throws {
    let scratch = try Scratch()
    let bert = Fixture.path("bert/base")
    var tensors = try readModel(bert)
    let names = tensors.keys.filter {
      $0.hasSuffix("LayerNorm.weight") || $0.hasSuffix("query.bias")
        || $0.hasSuffix("word_embeddings.weight")
    }
    #expect(names.count >= 3)
    for name in names { tensors[name]?.bytes[0] ^= 1 }
    try writeModel(scratch.file("tuned"), config: [:], tensors)
    try FileManager.default.removeItem(atPath: scratch.file("tuned/config.json"))
    try FileManager.default.copyItem(
      atPath: bert + "/config.json", toPath: scratch.file("tuned/config.json"))
    let report = try extract(bert, scratch.file("tuned"), scratch.file("out")) {
      $0.size = .rank(1)
    }
    #expect(report.modules.isEmpty && Set(names).isSubset(of: Set(report.replaced)))
    let config = try AdapterFile(path: scratch.file("out")).config
    #expect(config.settings["bias"] == .text("all"))
    try merge(scratch.file("out"), onto: bert, to: scratch.file("again"), element: nil)
    let again = try readModel(scratch.file("again"))
    for name in names { #expect(again[name] == tensors[name], "\(name)") }
  }

  @Test func refusals() throws {
    let scratch = try Scratch()
    #expect(throws: ExtractError.identical(base: base, tuned: base)) {
      try extract(base, base, scratch.file("out")) { $0.size = .rank(1) }
    }
    try merge(Fixture.path("llama/lora"), onto: base, to: scratch.file("tuned"))
    #expect(throws: ExtractError.noSize) {
      try extract(base, scratch.file("tuned"), scratch.file("out")) { _ in }
    }
    #expect(throws: ExtractError.self) {
      try extract(base, scratch.file("tuned"), scratch.file("out")) { $0.method = .sbora }
    }
    #expect(scratch.names == ["tuned"])
  }
}
