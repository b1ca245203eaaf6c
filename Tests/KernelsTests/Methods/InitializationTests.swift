import Testing

@testable import Kernels

/// New adapters, against tensors that PEFT 0.21.2 makes with the same seed.
@Suite struct InitializationTests {
  private func start(
    _ out: Int, _ columns: Int, _ settings: [String: Setting], element: ElementType = .f32
  ) -> ModuleStart {
    ModuleStart(
      layer: LayerGeometry(module: "l", kind: .linear, shape: [out, columns], element: element),
      settings: MethodSettings(settings.merging(["r": .integer(2)]) { $1 }),
      weight: DenseSource(Dense(out, columns, [Double](repeating: 0.25, count: out * columns))))
  }

  private func bits(_ tensor: AdapterTensor?, _ count: Int) -> [UInt32] {
    (tensor?.reals ?? []).prefix(count).map(\.bitPattern)
  }

  /// Two layers, 5 → 7 and 7 → 3, after `torch.manual_seed(3)`.
  @Test(arguments: [
    (
      [String: Setting](), [3_197_248_552, 3_197_043_331, 3_191_722_723] as [UInt32],
      [1_048_094_042, 1_036_058_796, 3_188_381_189] as [UInt32]
    ),
    (
      ["init_lora_weights": .text("gaussian")], [3_202_177_218, 1_041_830_245, 1_045_865_428],
      [1_047_015_758, 1_002_838_454, 1_059_833_810]
    ),
    (
      ["lora_bias": .bool(true)], [1_049_346_210, 3_198_494_503, 3_201_129_863],
      [3_197_169_378, 3_198_175_221, 1_008_165_720]
    ),
    (
      ["init_lora_weights": .bool(false)], [3_202_549_081, 3_199_508_691, 3_192_137_021],
      [3_195_471_382, 3_195_124_495, 3_189_796_397]
    ),
  ])
  func lora(settings: [String: Setting], first: [UInt32], second: [UInt32]) throws {
    var generator = TorchGenerator(seed: 3)
    let a = try LoRA.initialTensors(start(7, 5, settings), generator: &generator)
    let b = try LoRA.initialTensors(start(3, 7, settings), generator: &generator)
    #expect(bits(a["lora_A.weight"], 3) == first)
    #expect(bits(b["lora_A.weight"], 3) == second)
    if settings["init_lora_weights"] == .bool(false) {
      #expect(bits(a["lora_B.weight"], 2) == [3_180_188_692, 1_054_399_160])
      #expect(bits(b["lora_B.weight"], 2) == [3_198_779_523, 1_012_850_530])
    } else {
      #expect(a["lora_B.weight"]?.reals.allSatisfy { $0 == 0 } == true)
      #expect(a["lora_B.bias"]?.reals.allSatisfy { $0 == 0 } != false)
    }
  }

  /// On a bf16 base PEFT rounds what it drew.
  @Test func loraOnABF16Base() throws {
    var generator = TorchGenerator(seed: 3)
    let tensors = try LoRA.initialTensors(
      start(7, 5, [:], element: .bf16), generator: &generator)
    #expect(
      tensors["lora_A.weight"]?.reals.prefix(4)
        == [-0.28515625, -0.279296875, -0.185546875, 0.08935546875])
  }

  @Test func veraInTheBasesPrecision() throws {
    var generator = TorchGenerator(seed: 0)
    for (element, expected) in [
      (ElementType.f32, 0.1), (.bf16, 0.10009765625), (.f16, 0.0999755859375),
    ] as [(ElementType, Float)] {
      let tensors = try VeRA.initialTensors(
        start(7, 5, [:], element: element), generator: &generator)
      #expect(tensors["vera_lambda_d"]?.reals == [expected, expected])
    }
  }

  /// Projections that a file leaves out are drawn again: A, then B, for the largest sizes.
  @Test func veraProjectionsAreDrawnAgain() throws {
    let layers = [(7, 5), (3, 7)].map {
      LayerGeometry(module: "l", kind: .linear, shape: [$0.0, $0.1], element: .bf16)
    }
    let settings = MethodSettings(["r": .integer(2), "projection_prng_key": .integer(9)])
    let shared = try VeRA.initialShared(layers: layers, settings: settings)
    #expect(shared["vera_A"]?.shape == [2, 7] && shared["vera_B"]?.shape == [7, 2])
    var generator = TorchGenerator(seed: 9)
    let drawn = generator.kaimingUniform(14, fanIn: 7) + generator.kaimingUniform(14, fanIn: 2)
    #expect(
      (shared["vera_A"]?.reals ?? []) + (shared["vera_B"]?.reals ?? [])
        == ElementType.bf16.widened(ElementType.bf16.rounded(drawn)))

    let tensors = [
      "vera_lambda_b": AdapterTensor(shape: [3], [1, 2, 3]),
      "vera_lambda_d": AdapterTensor(shape: [2], [0.5, -1]),
    ]
    func update(_ context: AdapterContext) throws -> [Float] {
      let method = try VeRA(
        AdapterModule(layer: layers[1], settings: settings, tensors: tensors, context: context))
      return try merged(method.weightUpdate()!, Dense(3, 7))
    }
    let rebuilt = try update(AdapterContext(layers: layers))
    #expect(rebuilt == (try update(AdapterContext(shared: shared))))
    #expect(rebuilt.contains { $0 != 0 })
    #expect(throws: MethodError.self) { try update(AdapterContext()) }
  }

  @Test func frozenFactorsAreOrthonormal() throws {
    for (frozen, leaf) in [("A", "lora_A.weight"), ("B", "lora_B.weight")] {
      var generator = TorchGenerator(seed: 5)
      let tensors = try AsymmetricLoRA.initialTensors(
        start(7, 6, ["frozen_factor": .text(frozen)]), generator: &generator)
      let factor = Dense(try #require(tensors[leaf]))
      let gram = frozen == "A" ? factor * factor.transposed : factor.transposed * factor
      #expect(distance(gram.values, [1, 0, 0, 1]) < 1e-6)
    }
    var generator = TorchGenerator(seed: 5)
    #expect(throws: MethodError.self) {
      try AsymmetricLoRA.initialTensors(start(7, 1, [:]), generator: &generator)
    }
  }

  @Test func indicesAreDistinctAndInRange() throws {
    for (variant, count) in [("FA", 5), ("FB", 7)] {
      var generator = TorchGenerator(seed: 8)
      let tensors = try SBoRA.initialTensors(
        start(7, 5, ["variant": .text(variant)]), generator: &generator)
      let index = try #require(tensors["sbora_index"]?.integers)
      #expect(index == index.sorted() && Set(index).count == 2)
      #expect(index.allSatisfy { (0..<count).contains($0) })
    }
  }

  @Test func doraStartsAtTheRowNorms() throws {
    var generator = TorchGenerator(seed: 8)
    let tensors = try DoRA.initialTensors(start(7, 4, [:]), generator: &generator)
    #expect(tensors["lora_magnitude_vector"]?.reals == [Float](repeating: 0.5, count: 7))
  }
}
