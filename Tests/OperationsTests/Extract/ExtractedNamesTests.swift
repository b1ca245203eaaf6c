import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// Adapters of models whose modules have other names in memory, and of stacks of experts.
@Suite struct ExtractedNamesTests {
  private func merge(_ adapter: String, onto base: String, to out: String) throws {
    let request = MergeRequest(
      base: base, adapters: [WeightedAdapter(path: adapter)], output: out, threads: 1)
    _ = try MergeOperation(MergePlan(request)).run()
  }

  private func extract(
    _ scratch: Scratch, base: String, _ size: ExtractRequest.Size
  ) throws -> ExtractReport {
    var request = ExtractRequest(
      base: base, tuned: scratch.file("tuned"), output: scratch.file("out"))
    request.size = size
    return try ExtractOperation(request).run()
  }

  private func integers(_ values: [Int64]) -> StoredTensor {
    StoredTensor(
      dtype: .i64, shape: [values.count],
      bytes: values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
      })
  }

  /// Numbers of −1 ..< 1.
  private func noise(_ count: Int, _ generator: inout NumpyGenerator) -> [Float] {
    (0..<count).map { _ in Float(Int(generator.integer(through: 2000)) - 1000) / 1000 }
  }

  /// The factors have the names of PEFT's own file, which are not those of the checkpoint.
  @Test func visionTransformer() throws {
    let scratch = try Scratch()
    let (base, lora) = (Fixture.path("vit/base"), Fixture.path("vit/lora"))
    try merge(lora, onto: base, to: scratch.file("tuned"))
    let report = try extract(scratch, base: base, .rank(4))
    let wanted = try readModel(lora + "/adapter_model.safetensors").keys
    let found = try readModel(scratch.file("out/adapter_model.safetensors")).keys
    // PEFT's task types store the head whole.
    let linear = wanted.filter { !$0.contains(".classifier.") }
    let head = ["weight", "bias"].map { "base_model.model.classifier." + $0 }
    #expect(Set(found) == Set(linear).union(head))
    #expect(report.modules.contains { $0.module == "vit.layers.0.attention.q_proj" })
    try merge(scratch.file("out"), onto: base, to: scratch.file("again"))
    let (tuned, again) = (
      try readModel(scratch.file("tuned")), try readModel(scratch.file("again"))
    )
    for (name, tensor) in tuned {
      // The base is in f16.
      #expect(relativeDistance(again[name]?.values ?? [], tensor.values) < 5e-4, "\(name)")
    }
  }

  struct Stacks: Sendable, CustomStringConvertible {
    let modelType: String
    /// The experts are stored `in × out`.
    let isTransposed: Bool
    let sizes: (rows: Int, columns: Int)
    var description: String { "\(modelType) \(sizes.rows) × \(sizes.columns)" }
  }

  /// Changes of stacks of experts come back as factors of the parameter, nested as PEFT does, and a merge
  /// adds to every expert what PEFT adds: `B[o, k·E + e]·A[e·r + k, i]`.
  @Test(arguments: [
    Stacks(modelType: "gpt_oss", isTransposed: true, sizes: (6, 8)),
    Stacks(modelType: "gpt_oss", isTransposed: true, sizes: (7, 7)),
    Stacks(modelType: "llama4_text", isTransposed: false, sizes: (6, 8)),
    Stacks(modelType: "llama4_text", isTransposed: false, sizes: (7, 7)),
  ])
  func stacks(_ example: Stacks) throws {
    let scratch = try Scratch()
    let (experts, rank, scale) = (3, 2, 1.5)
    let (rows, columns) = example.sizes
    let owner = "model.layers.0.mlp.experts"
    var generator = NumpyGenerator(seed: 5)
    var base: [String: StoredTensor] = [:]
    var adapter: [String: StoredTensor] = [:]
    var expected: [String: [Double]] = [:]
    for (name, nesting) in [("gate_up_proj", ".base_layer"), ("down_proj", "")] {
      let (input, output) = example.isTransposed ? (rows, columns) : (columns, rows)
      let weight = noise(experts * rows * columns, &generator)
      let a = noise(experts * rank * input, &generator)
      let b = noise(output * rank * experts, &generator)
      var sum = weight.map { Double($0) }
      for expert in 0..<experts {
        for row in 0..<rows {
          for column in 0..<columns {
            let (o, i) = example.isTransposed ? (column, row) : (row, column)
            for k in 0..<rank {
              sum[(expert * rows + row) * columns + column] +=
                scale * Double(b[(o * rank + k) * experts + expert])
                * Double(a[(expert * rank + k) * input + i])
            }
          }
        }
      }
      expected["\(owner).\(name)"] = sum
      base["\(owner).\(name)"] = .f32([experts, rows, columns], weight)
      let prefix = "base_model.model.\(owner)\(nesting)."
      adapter[prefix + "lora_A.weight"] = .f32([experts * rank, input], a)
      adapter[prefix + "lora_B.weight"] = .f32([output, rank * experts], b)
    }
    try writeModel(
      scratch.file("base"), config: ["model_type": .string(example.modelType)], base)
    try SyntheticAdapter.write(
      scratch.file("adapter"),
      config: [
        "peft_type": "LORA", "r": .int(rank), "lora_alpha": 8, "target_modules": [],
        "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        // Patterns name the parameter, not its module.
        "alpha_pattern": [
          "mlp.experts.gate_up_proj": 3, "experts.down_proj": 3, "mlp.experts": 100,
        ],
      ], tensors: adapter)
    try merge(scratch.file("adapter"), onto: scratch.file("base"), to: scratch.file("tuned"))
    for (name, tensor) in try readModel(scratch.file("tuned")) {
      #expect(relativeDistance(tensor.values, expected[name] ?? []) < 1e-6, "\(name)")
    }

    let report = try extract(scratch, base: scratch.file("base"), .rank(rank))
    #expect(report.method == .lora && report.replaced.isEmpty && report.keptEnergy > 1 - 1e-9)
    #expect(report.modules.map(\.module) == ["\(owner).down_proj", "\(owner).gate_up_proj"])
    let stored = try readModel(scratch.file("out/adapter_model.safetensors"))
    #expect(stored.mapValues(\.shape) == adapter.mapValues(\.shape))
    let settings = try AdapterFile(path: scratch.file("out")).config.settings
    #expect(
      settings["target_parameters"]
        == .list([.text("\(owner).down_proj"), .text("\(owner).gate_up_proj")]))
    try merge(scratch.file("out"), onto: scratch.file("base"), to: scratch.file("again"))
    for (name, tensor) in try readModel(scratch.file("again")) {
      #expect(relativeDistance(tensor.values, expected[name] ?? []) < 1e-6, "\(name)")
    }
  }

  /// Ranks of parameters follow from the energy; the part that is said to be kept is.
  @Test func energyOfStacks() throws {
    let scratch = try Scratch()
    var generator = NumpyGenerator(seed: 9)
    let owner = "model.layers.0.mlp.experts."
    let shapes = ["gate_up_proj": [4, 9, 12], "down_proj": [4, 6, 9], "down_proj_bias": [4, 6]]
    let base = shapes.mapValues { StoredTensor.f32($0, noise($0.reduce(1, *), &generator)) }
    var tuned = base
    for name in ["gate_up_proj", "down_proj", "down_proj_bias"] {
      let values = zip(base[name]?.values ?? [], noise(1000, &generator)).enumerated().map {
        // The first half of the experts stays.
        Float($1.0) + ($0 < shapes[name, default: []].reduce(1, *) / 2 ? 0 : $1.1)
      }
      tuned[name] = .f32(shapes[name, default: []], values)
    }
    for (path, tensors) in [("base", base), ("tuned", tuned)] {
      try writeModel(
        scratch.file(path), config: ["model_type": "llama4_text"],
        Dictionary(uniqueKeysWithValues: tensors.map { (owner + $0.key, $0.value) }))
    }
    let report = try extract(scratch, base: scratch.file("base"), .energy(0.7))
    #expect(report.modules.count == 3 && Set(report.modules.map(\.rank)).count > 1)
    try merge(scratch.file("out"), onto: scratch.file("base"), to: scratch.file("again"))
    let models = try ["base", "tuned", "again"].map { try readModel(scratch.file($0)) }
    for module in report.modules {
      let values = models.map { $0[module.module]?.values ?? [] }
      let (lost, change) = (
        relativeDistance(values[2], values[1]), relativeDistance(values[0], values[1])
      )
      let kept = 1 - lost * lost / (change * change)
      #expect(abs(kept - module.keptEnergy) < 1e-6 && kept >= 0.7 - 1e-6, "\(module.module)")
      #expect(module.keptEnergy < 1 || module.module.hasSuffix("_bias"))
    }
    #expect(throws: ExtractError.self) {
      var request = ExtractRequest(
        base: scratch.file("base"), tuned: scratch.file("tuned"), output: scratch.file("dora"))
      (request.method, request.size) = (.dora, .rank(1))
      _ = try ExtractOperation(request).run()
    }
  }

  /// Routers are no linear modules to PEFT, and counters beside a changed norm come along.
  @Test func savedModules() throws {
    let scratch = try Scratch()
    let base: [String: StoredTensor] = [
      "model.layers.0.mlp.gate.weight": .f32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
      "model.layers.0.mlp.experts.0.w1.weight": .f32([1, 1], [1]),
      "stem.normalization.weight": .f32([2], [1, 2]),
      "stem.normalization.num_batches_tracked": integers([7]),
    ]
    var tuned = base
    tuned["model.layers.0.mlp.gate.weight"] = .f32([2, 4], [1, 2, 3, 4, 5, 6, 7, 9])
    tuned["stem.normalization.weight"] = .f32([2], [1, 3])
    try writeModel(scratch.file("base"), config: ["model_type": "mixtral"], base)
    try writeModel(scratch.file("tuned"), config: ["model_type": "mixtral"], tuned)
    let report = try extract(scratch, base: scratch.file("base"), .rank(1))
    #expect(report.modules.isEmpty)
    #expect(
      try AdapterFile(path: scratch.file("out")).config.settings["modules_to_save"]
        == .list([.text("model.layers.0.mlp.gate"), .text("stem.normalization")]))
    try merge(scratch.file("out"), onto: scratch.file("base"), to: scratch.file("again"))
    #expect(try readModel(scratch.file("again")) == tuned)
  }
}
