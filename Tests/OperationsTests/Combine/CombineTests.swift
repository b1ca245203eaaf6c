import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

@Suite struct CombineTests {
  private func request(
    _ terms: [(String, Double)], _ out: String, _ change: (inout CombineRequest) -> Void = { _ in }
  ) -> CombineRequest {
    var request = CombineRequest(
      adapters: terms.map { WeightedAdapter(path: Fixture.path($0.0), weight: $0.1) }, output: out)
    change(&request)
    return request
  }

  /// Σ w·ΔW by hand, over adapters with patterns, rsLoRA and other modules.
  @Test(arguments: [nil, 1, 5, 100])
  func exactSum(_ rank: Int?) throws {
    let scratch = try Scratch()
    let terms = [
      ("llama/lora", 0.5), ("llama/lora_patterns", -1.25), ("llama/lora_rslora", 2),
      ("llama/lora_layers", 1),
    ]
    let report = try CombineOperation(request(terms, scratch.file("out")) { $0.rank = rank }).run()
    var expected: [String: [Double]] = [:]
    for (name, weight) in terms {
      for (module, change) in try changes(of: Fixture.path(name)) {
        let old = expected[module] ?? [Double](repeating: 0, count: change.values.count)
        expected[module] = zip(old, change.values).map { $0 + weight * $1 }
      }
    }
    let found = try changes(of: scratch.file("out"))
    #expect(Set(found.keys) == Set(expected.keys))
    for module in report.modules {
      let change = try #require(found[module.module])
      let wanted = try #require(expected[module.module])
      let distance = relativeDistance(change.values, wanted)
      if module.truncation < 1e-7 {
        #expect(distance < 1e-6)
      } else {
        // The truncation that is reported is the one there is, and no rank does better.
        #expect(abs(distance - module.truncation) < 1e-5)
        let best = SingularValues(
          DenseMatrix(rows: change.rows, columns: change.columns, values: wanted)
        ).values.map { $0 * $0 }
        let lost = best.dropFirst(module.rank).reduce(0, +) / best.reduce(0, +)
        #expect(abs(distance - lost.squareRoot()) < 1e-5)
      }
    }
    #expect(
      try AdapterInspection(path: scratch.file("out"), base: Fixture.path("llama/base")).isSound)
    let config = try AdapterFile(path: scratch.file("out")).config
    #expect(
      config.settings["use_rslora"] == nil && config.settings["init_lora_weights"] == .bool(true))
  }

  @Test(arguments: [CombinationMode.cat, .linear, .svd])
  func oneAdapterIsCopied(_ mode: CombinationMode) throws {
    let scratch = try Scratch()
    let report = try CombineOperation(
      request([("llama/dora", 1)], scratch.file("out")) { $0.mode = mode }
    ).run()
    #expect(report.copied)
    #expect(
      try InputFile(path: scratch.file("out/adapter_config.json")).readAll()
        == InputFile(path: Fixture.path("llama/dora/adapter_config.json")).readAll())
    #expect(
      try readModel(scratch.file("out/adapter_model.safetensors"))
        == readModel(Fixture.path("llama/dora/adapter_model.safetensors")))
  }

  @Test func containerMergesAsFolder() throws {
    let scratch = try Scratch()
    let terms = [("llama/lora_embed", 0.5), ("llama/lora", -0.5)]
    for out in ["folder", "file.safetensors"] {
      _ = try CombineOperation(request(terms, scratch.file(out))).run()
      var merge = MergeRequest(
        base: Fixture.path("llama/base"), adapters: [WeightedAdapter(path: scratch.file(out))],
        output: scratch.file(out + ".merged"), threads: 1)
      merge.element = .f32
      _ = try MergeOperation(MergePlan(merge)).run()
    }
    #expect(
      scratch.names.sorted() == [
        "file.safetensors", "file.safetensors.merged", "folder",
        "folder.merged",
      ])
    // The sum is what the two give when they are merged together.
    var merge = MergeRequest(
      base: Fixture.path("llama/base"),
      adapters: terms.map { WeightedAdapter(path: Fixture.path($0.0), weight: $0.1) },
      output: scratch.file("both"), threads: 1)
    merge.element = .f32
    _ = try MergeOperation(MergePlan(merge)).run()
    let both = try readModel(scratch.file("both"))
    for out in ["folder", "file.safetensors"] {
      for (name, tensor) in try readModel(scratch.file(out + ".merged")) {
        let distance = relativeDistance(tensor.values, both[name]?.values ?? [])
        #expect(distance < 1e-6, "\(name)")
      }
    }
  }

  @Test func refusals() throws {
    let scratch = try Scratch()
    func fails(_ terms: [(String, Double)], _ mode: CombinationMode = .cat) -> CombineError? {
      let request = request(terms, scratch.file("out")) { $0.mode = mode }
      do {
        _ = try CombineOperation(request).run()
        return nil
      } catch { return error as? CombineError }
    }
    guard case .notLowRank? = fails([("llama/dora", 1), ("llama/lora", 1)]) else {
      Issue.record("DoRA combined")
      return
    }
    guard case .partialReplacement? = fails([("llama/lora_modules_to_save", 0.5)]) else {
      Issue.record("a half of a saved module")
      return
    }
    guard case .ranks? = fails([("llama/lora", 1), ("llama/lora_patterns", 1)], .ties) else {
      Issue.record("different ranks")
      return
    }
    guard case .unsupported? = fails([("llama/trainable_tokens", 1), ("llama/lora", 1)]) else {
      Issue.record("token rows")
      return
    }
    #expect(scratch.names.isEmpty)
  }

  /// 1LoRA says how many rows its layer has; the columns come from the other adapter, or a base.
  @Test func onesOfOneLoRA() throws {
    let scratch = try Scratch()
    let module = "model.layers.0.self_attn.k_proj"
    let b = (0..<32).map { Float($0) / 32 }
    try SyntheticAdapter.write(
      scratch.file("one"), config: ["peft_type": "ONELORA", "target_modules": [.string(module)]],
      tensors: ["base_model.model.\(module).onelora_b": .f32([32], b)])
    var request = request([("llama/lora", 1)], scratch.file("out"))
    request.adapters.append(WeightedAdapter(path: scratch.file("one"), weight: 2))
    _ = try CombineOperation(request).run()
    let found = try #require(try changes(of: scratch.file("out"))[module])
    let lora = try #require(try changes(of: Fixture.path("llama/lora"))[module])
    let expected: [Double] = lora.values.enumerated().map { $1 + 2 * Double(b[$0 / 64]) }
    #expect(relativeDistance(found.values, expected) < 1e-6)

    request.adapters = [WeightedAdapter(path: scratch.file("one"), weight: 2)]
    request.output = scratch.file("alone")
    #expect(throws: CombineError.self) { try CombineOperation(request).run() }
    request.base = Fixture.path("llama/base")
    _ = try CombineOperation(request).run()
    let alone = try #require(try changes(of: scratch.file("alone"))[module])
    let doubled: [Double] = (0..<32 * 64).map { 2 * Double(b[$0 / 64]) }
    #expect(alone.values == doubled)
  }

  @Test func expressions() {
    func terms(_ text: String) -> [WeightedAdapter]? { AdapterExpression.parse(text) }
    #expect(
      terms("a + 0.5*b - c") == [
        WeightedAdapter(path: "a"), WeightedAdapter(path: "b", weight: 0.5),
        WeightedAdapter(path: "c", weight: -1),
      ])
    #expect(
      terms("- x/y-z * 2 + 3 * my lora") == [
        WeightedAdapter(path: "x/y-z", weight: -2), WeightedAdapter(path: "my lora", weight: 3),
      ])
    for text in ["", "a +", "+ + a", "a * b", "2*", "a + - b"] { #expect(terms(text) == nil) }
  }
}
