import Testing

@testable import Kernels

/// Counts from hyper-parameters alone, against the tables of the papers.
@Suite struct ParameterCountTests {
  /// A model as the output and input features of its adapted layers.
  struct Model: Sendable {
    var name: String
    var layers: [(out: Int, in: Int)]
    var repeats: Int

    static let llama = Model(
      name: "LLaMA2-7B",
      layers: [(Int, Int)](repeating: (4096, 4096), count: 4)
        + [(11008, 4096), (11008, 4096), (4096, 11008)], repeats: 32)
    static let llamaWithoutOutputAndGate = Model(
      name: "LLaMA-7B q k v up down",
      layers: [(Int, Int)](repeating: (4096, 4096), count: 3) + [(11008, 4096), (4096, 11008)],
      repeats: 32)
    static let llama3 = Model(
      name: "LLaMA3-8B q k v up down",
      layers: [(4096, 4096), (1024, 4096), (1024, 4096), (14336, 4096), (4096, 14336)],
      repeats: 32)
    static let vit = Model(
      name: "ViT-L/14", layers: [(3072, 1024), (1024, 1024), (4096, 1024), (1024, 4096)],
      repeats: 24)
    static let mt0 = Model(
      name: "mt0-large", layers: [(1024, 1024), (1024, 1024)], repeats: 72)
  }

  struct Row: Sendable, CustomTestStringConvertible {
    var model: Model
    var method: any TrainableMethod.Type
    var settings: [String: Setting]
    /// MoRA's r' from a budget of as many numbers as the layer has outputs (the 1LoRA paper).
    var squareOfOutputs: MoRA.Kind?
    var count: Int

    init(
      _ model: Model, _ method: any TrainableMethod.Type, _ settings: [String: Setting],
      _ count: Int, squareOfOutputs: MoRA.Kind? = nil
    ) {
      (self.model, self.method, self.settings) = (model, method, settings)
      (self.count, self.squareOfOutputs) = (count, squareOfOutputs)
    }

    var testDescription: String {
      "\(model.name) \(method.descriptor.title) \(settings.keys.sorted()) \(count)"
    }
  }

  @Test(arguments: [
    Row(.vit, OneLoRA.self, [:], 221_184),
    Row(.vit, BitFit.self, [:], 221_184),
    Row(.vit, LoRA.self, ["r": .integer(1)], 393_216),
    Row(.vit, VeRA.self, ["r": .integer(1)], 221_280),
    Row(.vit, DoRA.self, ["r": .integer(1)], 614_400),
    Row(.vit, MoRA.self, [:], 220_056, squareOfOutputs: .one),
    Row(.vit, MoRA.self, ["mora_type": .integer(6)], 217_440, squareOfOutputs: .six),
    Row(.llama, OneLoRA.self, [:], 1_359_872),
    Row(.llama, OneLoRA.self, ["compression": .text("learned")], 1_359_872 + 1_138_688),
    Row(.llama, OneLoRA.self, ["compression": .text("random")], 1_359_872),
    Row(
      .llama, OneLoRA.self, ["train_bias": .bool(true), "train_scale": .bool(true)],
      3 * 1_359_872),
    Row(.llama, DiffFit.self, [:], 2 * 1_359_872),
    Row(.llama, DiffFit.self, ["scale": .bool(false)], 1_359_872),
    Row(.llama, VeRA.self, ["r": .integer(1)], 1_360_096),
    Row(.llama, LoRA.self, ["r": .integer(1)], 2_498_560),
    Row(.llama, LoRA.self, ["r": .integer(1), "lora_bias": .bool(true)], 2_498_560 + 1_359_872),
    Row(.llama, MoRA.self, [:], 1_360_960, squareOfOutputs: .one),
    Row(.llama, MoRA.self, ["mora_type": .integer(6)], 1_347_584, squareOfOutputs: .six),
    Row(.llama, FullTuning.self, [:], 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)),
    Row(.llamaWithoutOutputAndGate, LoRA.self, ["r": .integer(32)], 56_098_816),
    Row(.llamaWithoutOutputAndGate, DoRA.self, ["r": .integer(64)], 113_074_176),
    Row(.llamaWithoutOutputAndGate, SBoRA.self, ["r": .integer(32)], 28_049_408),
    Row(.llama3, LoRA.self, ["r": .integer(32)], 56_623_104),
    Row(.llama3, DoRA.self, ["r": .integer(32)], 57_409_536),
    Row(.llama3, SBoRA.self, ["r": .integer(32)], 25_165_824),
    Row(.llama3, SBoRA.self, ["r": .integer(32), "variant": .text("FB")], 31_457_280),
    Row(.llama3, AsymmetricLoRA.self, ["r": .integer(32)], 25_165_824),
    Row(
      .llama3, AsymmetricLoRA.self, ["r": .integer(32), "frozen_factor": .text("B")],
      31_457_280),
    Row(.mt0, LoRA.self, ["r": .integer(8)], 2_359_296),
  ])
  func tables(_ row: Row) throws {
    var total = 0
    for (out, columns) in row.model.layers {
      var settings = MethodSettings(row.settings)
      if let kind = row.squareOfOutputs {
        settings = settings.setting(
          "mora_rank", to: .integer(MoRA.squareRank(budget: out, kind: kind)))
      }
      total += try row.method.parameterCount(
        layer: LayerGeometry(module: "l", kind: .linear, shape: [out, columns]),
        settings: settings)
    }
    #expect(total * row.model.repeats == row.count)
  }

  @Test func moraTakesTheBudgetOfLoRA() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [4096, 4096])
    for (rank, size) in [(8, 256), (128, 1024), (1, 91), (2, 128)] {
      #expect(
        try MoRA.tensors(layer: layer, settings: MethodSettings(["r": .integer(rank)]))
          == [MethodTensor("mora_M", [size, size])])
    }
    let rotated = MethodSettings(["r": .integer(1), "mora_type": .integer(6)])
    #expect(
      try MoRA.tensors(layer: layer, settings: rotated) == [MethodTensor("mora_M", [90, 90])])
  }

  @Test func promptsAndBottlenecks() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [768, 3072])
    let prefix = MethodSettings([
      "num_virtual_tokens": .integer(30), "num_layers": .integer(12), "token_dim": .integer(768),
    ])
    #expect(
      try PrefixTuning.parameterCount(layer: layer, settings: prefix) == 30 * 12 * 2 * 768)
    #expect(try PromptTuning.parameterCount(layer: layer, settings: prefix) == 30 * 768)
    let bottleneck = MethodSettings(["bottleneck_size": .integer(64)])
    #expect(
      try Bottleneck.parameterCount(layer: layer, settings: bottleneck)
        == 2 * 64 * 768 + 64 + 768)
    let norm = LayerGeometry(module: "n", kind: .normalization, shape: [768], hasBias: true)
    #expect(
      try NormTuning.parameterCount(layer: norm, settings: MethodSettings([:])) == 2 * 768)
  }
}
