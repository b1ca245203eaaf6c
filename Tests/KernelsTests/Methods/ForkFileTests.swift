import Testing

@testable import Kernels

/// Files of the official forks, which share names with PEFT's LoRA.
@Suite struct ForkFileTests {
  private func method(
    _ type: String, _ shapes: [String: [Int]], _ settings: [String: Setting] = [:]
  ) -> (any AdapterMethod.Type)? {
    MethodRegistry.method(
      peftType: type, shapes: shapes, settings: MethodSettings(settings))
  }

  @Test func loraFilesFindTheirMethod() throws {
    let pair = ["lora_A.weight": [2, 3], "lora_B.weight": [4, 2]]
    let square = ["lora_A.weight": [4, 4], "lora_B.weight": [4, 4]]
    #expect(method("LORA", pair) == LoRA.self)
    #expect(method("LORA", square) == LoRA.self)
    #expect(method("LORA", square, ["use_mora": .bool(true)]) == MoRA.self)
    #expect(method("LORA", pair, ["frozen_factor": .text("A")]) == AsymmetricLoRA.self)
    #expect(method("LORASYM", pair) == AsymmetricLoRA.self)
    #expect(method("LORA", ["lora_A": [2], "lora_B.weight": [4, 2]]) == SBoRA.self)
    #expect(method("LORA", ["lora_A.weight": [2, 3], "lora_B": [2]]) == SBoRA.self)
    #expect(method("LORA", pair.merging(["lora_magnitude_vector": [4]]) { $1 }) == DoRA.self)
    // A magnitude that the file lacks must not turn DoRA into LoRA.
    #expect(method("LORA", pair, ["use_dora": .bool(true)]) == DoRA.self)
    #expect(method("DORA", ["weight_m_wdecomp.weight": [4, 1]]) == DoRA.self)
  }

  @Test func everyNameAndLeafBelongsToOneMethod() {
    let names = MethodRegistry.all.flatMap { $0.descriptor.names }
    #expect(Set(names).count == names.count)
    for method in MethodRegistry.all {
      let descriptor = method.descriptor
      #expect(
        !descriptor.leaves.isEmpty || !descriptor.trainableShared.isEmpty
          || descriptor.notMergeable != nil)
      #expect(!descriptor.source.isEmpty)
    }
  }

  @Test func moraForkStoresItsMatrixTwice() throws {
    var numbers = TestNumbers(seed: 1)
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [6, 9])
    let settings = MethodSettings([
      "use_mora": .bool(true), "mora_type": .integer(6), "r": .integer(1),
      "lora_alpha": .integer(16),
    ])
    let matrix = numbers.tensor([4, 4])
    let weight = Dense(6, 9, numbers.doubles(54))
    let fork = try MoRA(
      AdapterModule(
        layer: layer, settings: settings,
        tensors: ["lora_A.weight": matrix, "lora_B.weight": matrix]))
    let own = try MoRA(
      AdapterModule(layer: layer, settings: settings, tensors: ["mora_M": matrix]))
    #expect(try merged(fork.weightUpdate()!, weight) == merged(own.weightUpdate()!, weight))
    #expect(
      throws: MethodError.values(
        leaf: "lora_B.weight", reason: "differs from lora_A.weight, of which it is a copy")
    ) {
      try MoRA(
        AdapterModule(
          layer: layer, settings: settings,
          tensors: ["lora_A.weight": matrix, "lora_B.weight": numbers.tensor([4, 4])]))
    }
    #expect(throws: MethodError.self) {
      _ = try MoRA.examine(["mora_M": [3, 3]], settings: settings, layer: layer)
    }
  }

  @Test func sboraForkStoresItsIndexAsAFactor() throws {
    var numbers = TestNumbers(seed: 1)
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [5, 7])
    let settings = MethodSettings(["lora_alpha": .integer(4), "r": .integer(2)])
    let weight = Dense(5, 7, numbers.doubles(35))
    let index = AdapterTensor(shape: [2], values: .integer([4, 1]))
    let (a, b) = (numbers.tensor([2, 7]), numbers.tensor([5, 2]))
    var columns = weight
    var rows = weight
    for k in 0..<2 {
      for i in 0..<5 { columns[i, [4, 1][k]] += 2 * Double(b.reals[i * 2 + k]) }
      for j in 0..<7 { rows[[4, 1][k], j] += 2 * Double(a.reals[k * 7 + j]) }
    }
    for (tensors, expected, count) in [
      (["lora_A": index, "lora_B.weight": b], columns, 10),
      (["lora_A.weight": a, "lora_B": index], rows, 14),
    ] {
      let method = try SBoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors))
      let result = try merged(method.weightUpdate()!, weight)
      #expect(distance(result.map { Double($0) }, expected.values) < 1e-6)
      #expect(
        try SBoRA.examine(tensors.mapValues(\.shape), settings: settings, layer: nil)
          .trainableParameters == count)
    }
    for bad in [[0, 7], [-1, 2], [3, 3]] {
      #expect(throws: MethodError.self) {
        try SBoRA(
          AdapterModule(
            layer: layer, settings: settings,
            tensors: [
              "lora_A": AdapterTensor(shape: [2], values: .integer(bad)), "lora_B.weight": b,
            ]))
      }
    }
    // Some writers store an index as floating-point numbers.
    let real = AdapterTensor(shape: [2], [4, 1])
    let method = try SBoRA(
      AdapterModule(
        layer: layer, settings: settings, tensors: ["lora_A": real, "lora_B.weight": b]))
    #expect(
      distance(try merged(method.weightUpdate()!, weight).map { Double($0) }, columns.values)
        < 1e-6)
  }

  @Test func onesOfTheListing() throws {
    var numbers = TestNumbers(seed: 1)
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [5, 7])
    let weight = Dense(5, 7, numbers.doubles(35))
    let b = numbers.tensor([5])
    let settings = MethodSettings([:])
    let listing = try OneLoRA(
      AdapterModule(
        layer: layer, settings: settings,
        tensors: [
          "b": b, "linear.weight": numbers.tensor([5, 7]), "linear.bias": numbers.tensor([5]),
        ]))
    let own = try OneLoRA(
      AdapterModule(layer: layer, settings: settings, tensors: ["onelora_b": b]))
    #expect(try merged(listing.weightUpdate()!, weight) == merged(own.weightUpdate()!, weight))
    #expect(try listing.trainingLayer(Float.self).parameters.map(\.leaf) == ["b"])
    #expect(throws: MethodError.self) {
      _ = try OneLoRA.examine(
        ["onelora_b": [5], "onelora_a": [7]], settings: settings, layer: layer)
    }
    #expect(throws: MethodError.self) {
      _ = try OneLoRA.examine(
        ["onelora_b": [5]], settings: MethodSettings(["compression": .text("mean")]),
        layer: layer)
    }
  }

  @Test func difffitOfTheFork() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [2, 3], hasBias: true)
    let method = try DiffFit(
      AdapterModule(
        layer: layer, settings: MethodSettings([:]),
        tensors: [
          "difffit.bf": AdapterTensor(shape: [2], [1, -1]),
          "difffit.gamma": AdapterTensor(shape: [2], [2, 0.5]),
        ]))
    let weight = Dense(2, 3, [1, 2, 3, 4, 5, 6])
    #expect(try merged(method.weightUpdate()!, weight) == [2, 4, 6, 2, 2.5, 3])
    var bias: [Float] = [10, 20]
    try method.biasUpdate()?.apply(to: &bias, weight: DenseSource(weight))
    #expect(bias == [22, 9.5])
  }

  @Test func normsAreReplaced() throws {
    let layer = LayerGeometry(module: "n", kind: .normalization, shape: [3], hasBias: true)
    let shapes = ["ln_tuning_layers.weight": [3], "ln_tuning_layers.bias": [3]]
    #expect(
      try NormTuning.examine(shapes, settings: MethodSettings([:]), layer: layer)
        == ModuleSummary(trainableParameters: 6, changesBias: true))
    let method = try NormTuning(
      AdapterModule(
        layer: layer, settings: MethodSettings([:]),
        tensors: [
          "ln_tuning_layers.weight": AdapterTensor(shape: [3], [1, 2, 3]),
          "ln_tuning_layers.bias": AdapterTensor(shape: [3], [4, 5, 6]),
        ]))
    #expect(try merged(method.weightUpdate()!, Dense(3, 1, [7, 8, 9]), height: 2) == [1, 2, 3])
    var bias: [Float] = [0, 0, 0]
    try method.biasUpdate()?.apply(to: &bias, weight: DenseSource(Dense(3, 1)))
    #expect(bias == [4, 5, 6])
    var generator = TorchGenerator(seed: 0)
    let start = ModuleStart(
      layer: layer, settings: MethodSettings([:]), weight: DenseSource(Dense(3, 1, [7, 8, 9])),
      bias: [1, 2, 3])
    let tensors = try NormTuning.initialTensors(start, generator: &generator)
    #expect(tensors["ln_tuning_layers.weight"]?.reals == [7, 8, 9])
    #expect(tensors["ln_tuning_layers.bias"]?.reals == [1, 2, 3])
  }

  @Test func promptsAndBottlenecksAreReadAndNotMerged() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [5, 7])
    let files: [(String, [String: [Int]], [String: Setting], Int)] = [
      (
        "BOTTLENECK", ["adapter_down.weight": [3, 5], "adapter_up.weight": [5, 3]],
        ["non_linearity": .text("tanh")], 30
      ),
      (
        "BOTTLENECK",
        [
          "adapter_down.weight": [3, 7], "adapter_up.weight": [5, 3], "adapter_down.bias": [3],
          "adapter_up.bias": [5],
        ], ["use_parallel_adapter": .bool(true), "scaling": .integer(4)], 44
      ),
      (
        "PREFIX_TUNING", ["prompt_embeddings": [2, 24]],
        ["num_virtual_tokens": .integer(2), "num_layers": .integer(3), "token_dim": .integer(4)],
        48
      ),
      (
        "PROMPT_TUNING", ["prompt_embeddings": [2, 4]],
        ["num_virtual_tokens": .integer(2), "token_dim": .integer(4)], 8
      ),
    ]
    for (type, shapes, settings, count) in files {
      let method = try #require(self.method(type, shapes, settings))
      let settings = MethodSettings(settings)
      let summary = try method.examine(shapes, settings: settings, layer: layer)
      #expect(summary.trainableParameters == count && !summary.changesWeight)
      let reason = try #require(summary.notMergeable)
      let instance = try method.init(
        AdapterModule(
          layer: layer, settings: settings,
          tensors: shapes.mapValues {
            AdapterTensor(shape: $0, [Float](repeating: 0, count: $0.reduce(1, *)))
          }))
      #expect(throws: MethodError.notMergeable(reason: reason)) { try instance.weightUpdate() }
    }
    #expect(throws: MethodError.self) {
      _ = try Bottleneck.examine(
        files[0].1, settings: MethodSettings(["non_linearity": .text("cosine")]), layer: layer)
    }
    #expect(throws: MethodError.self) {
      _ = try PrefixTuning.examine(
        ["prompt_embeddings": [2, 20]], settings: MethodSettings(files[2].2), layer: nil)
    }
  }
}
