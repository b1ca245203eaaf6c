import Testing

@testable import Kernels

/// The forms of LoRA's and DoRA's files besides the linear layer.
@Suite struct LoRAFormTests {
  private let settings = MethodSettings(["r": .integer(2), "lora_alpha": .integer(3)])

  private func tensors(_ shapes: [String: [Int]], seed: UInt32 = 3) -> [String: AdapterTensor] {
    var numbers = TestNumbers(seed: seed)
    var result: [String: AdapterTensor] = [:]
    for (leaf, shape) in shapes.sorted(by: { $0.key < $1.key }) {
      result[leaf] = numbers.tensor(shape)
    }
    return result
  }

  private func check(
    _ method: some AdapterMethod, _ expected: Dense, _ weight: Dense, _ name: Comment
  ) throws {
    let update = try #require(try method.weightUpdate())
    for height in [1, 3, 1000] {
      let result = try merged(update, weight, height: height)
      #expect(distance(result.map { Double($0) }, expected.values) < 1e-6, name)
    }
  }

  @Test func embedding() throws {
    let layer = LayerGeometry(module: "emb", kind: .embedding, shape: [7, 4])
    let tensors = tensors(["lora_embedding_A": [2, 7], "lora_embedding_B": [4, 2]])
    var numbers = TestNumbers(seed: 1)
    let weight = Dense(7, 4, numbers.doubles(28))
    let delta =
      1.5
      * (Dense(tensors["lora_embedding_B"]!) * Dense(tensors["lora_embedding_A"]!)).transposed
    let lora = try LoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors))
    try check(lora, weight + delta, weight, "LoRA")

    // DoRA's norms run over the tokens, one per dimension.
    var dora = tensors
    dora["lora_magnitude_vector"] = numbers.tensor([4])
    let v = (weight + delta).transposed
    let factors = zip(dora["lora_magnitude_vector"]!.reals, v.rowNorms).map { Double($0) / $1 }
    try check(
      try DoRA(AdapterModule(layer: layer, settings: settings, tensors: dora)),
      v.scalingRows(factors).transposed, weight, "DoRA")
  }

  @Test(arguments: [[5, 3, 4], [5, 3, 2, 2], [5, 3, 2, 1, 2], [5, 3, 1, 1]])
  func convolution(shape: [Int]) throws {
    let layer = LayerGeometry(module: "conv", kind: .convolution, shape: shape)
    let ones = [Int](repeating: 1, count: shape.count - 2)
    let shapes = ["lora_A.weight": [2] + shape.dropFirst(), "lora_B.weight": [5, 2] + ones]
    let tensors = tensors(shapes)
    var numbers = TestNumbers(seed: 1)
    let columns = shape.dropFirst().reduce(1, *)
    let weight = Dense(5, columns, numbers.doubles(5 * columns))
    let delta =
      1.5
      * (Dense(5, 2, tensors["lora_B.weight"]!.reals.map { Double($0) })
        * Dense(2, columns, tensors["lora_A.weight"]!.reals.map { Double($0) }))
    try check(
      try LoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors)),
      weight + delta, weight, "LoRA \(shape)")
    var dora = tensors
    dora["lora_magnitude_vector"] = numbers.tensor([1, 5] + ones)
    let v = weight + delta
    let factors = zip(dora["lora_magnitude_vector"]!.reals, v.rowNorms).map { Double($0) / $1 }
    try check(
      try DoRA(AdapterModule(layer: layer, settings: settings, tensors: dora)),
      v.scalingRows(factors), weight, "DoRA \(shape)")
    #expect(
      try LoRA.tensors(layer: layer, settings: settings).map(\.shape).sorted { $0.count > $1.count }
        == shapes.values.sorted { $0[0] < $1[0] })
  }

  /// A stack of experts: rows of A expert by expert, columns of B with the expert running fastest.
  @Test(arguments: [(false, 4, 3), (true, 4, 3), (false, 3, 3), (true, 3, 3)])
  func experts(isTransposed: Bool, out: Int, columns: Int) throws {
    let (experts, rank) = (3, 2)
    let stored = isTransposed ? [experts, columns, out] : [experts, out, columns]
    let layer = LayerGeometry(
      module: "experts", kind: .parameter, shape: stored, storedTransposed: isTransposed)
    let tensors = tensors([
      "lora_A.weight": [experts * rank, columns], "lora_B.weight": [out, rank * experts],
    ])
    let (a, b) = (Dense(tensors["lora_A.weight"]!), Dense(tensors["lora_B.weight"]!))
    var numbers = TestNumbers(seed: 1)
    let weight = Dense(experts * stored[1], stored[2], numbers.doubles(experts * out * columns))
    var expected = weight
    for e in 0..<experts {
      for o in 0..<out {
        for i in 0..<columns {
          var sum = 0.0
          for k in 0..<rank { sum += b[o, k * experts + e] * a[e * rank + k, i] }
          if isTransposed {
            expected[e * columns + i, o] += 1.5 * sum
          } else {
            expected[e * out + o, i] += 1.5 * sum
          }
        }
      }
    }
    let method = try LoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors))
    try check(method, expected, weight, "\(stored)")
    let summary = try LoRA.examine(
      tensors.mapValues(\.shape), settings: settings, layer: layer)
    #expect(summary.rank == rank && summary.scale == 1.5)
    #expect(
      try LoRA.tensors(layer: layer, settings: settings).map(\.shape)
        == [[experts * rank, columns], [out, rank * experts]])
  }

  @Test func parameterOfTwoDimensions() throws {
    let layer = LayerGeometry(module: "p", kind: .parameter, shape: [4, 3])
    let tensors = tensors(["lora_A.weight": [2, 3], "lora_B.weight": [4, 2]])
    var numbers = TestNumbers(seed: 1)
    let weight = Dense(4, 3, numbers.doubles(12))
    let delta = 1.5 * (Dense(tensors["lora_B.weight"]!) * Dense(tensors["lora_A.weight"]!))
    try check(
      try LoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors)), weight + delta,
      weight, "2-D parameter")
  }

  /// The official DoRA's names, with and without factors.
  @Test(arguments: ["weight_m_wdecomp.weight", "weight_m"])
  func officialDoRA(leaf: String) throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [4, 3])
    var tensors = tensors([leaf: [4, 1]])
    var numbers = TestNumbers(seed: 1)
    let weight = Dense(4, 3, numbers.doubles(12))
    let m = tensors[leaf]!.reals.map { Double($0) }
    func expected(_ v: Dense) -> Dense { v.scalingRows(zip(m, v.rowNorms).map { $0 / $1 }) }
    try check(
      try DoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors)),
      expected(weight), weight, "magnitude alone")
    tensors.merge(self.tensors(["lora_A.weight": [2, 3], "lora_B.weight": [4, 2]])) { $1 }
    let delta = 1.5 * (Dense(tensors["lora_B.weight"]!) * Dense(tensors["lora_A.weight"]!))
    try check(
      try DoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors)),
      expected(weight + delta), weight, "with factors")
  }

  /// `lora_E` of the asymmetric fork stands between B and A.
  @Test func middleFactor() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [4, 3])
    let tensors = tensors([
      "lora_A.weight": [2, 3], "lora_B.weight": [4, 2], "lora_E.weight": [2, 2],
    ])
    var numbers = TestNumbers(seed: 1)
    let weight = Dense(4, 3, numbers.doubles(12))
    let product =
      Dense(tensors["lora_B.weight"]!) * Dense(tensors["lora_E.weight"]!)
      * Dense(tensors["lora_A.weight"]!)
    let method = try AsymmetricLoRA(
      AdapterModule(layer: layer, settings: settings, tensors: tensors))
    try check(method, weight + 1.5 * product, weight, "lora_E")
    #expect(throws: MethodError.self) { try method.trainingLayer(Float.self) }
  }

  @Test func zeroRankChangesNothing() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [4, 3])
    let weight = Dense(4, 3, [Double](repeating: 0.5, count: 12))
    let method = try LoRA(
      AdapterModule(
        layer: layer, settings: settings,
        tensors: tensors(["lora_A.weight": [0, 3], "lora_B.weight": [4, 0]])))
    try check(method, weight, weight, "rank 0")
  }

  @Test(arguments: [
    ("alora_invocation_tokens", Setting.list([.integer(1)])), ("use_qalora", .bool(true)),
    ("arrow_config", .table([])), ("init_lora_weights", .text("corda")),
    ("init_lora_weights", .text("pissa_niter_16")), ("init_lora_weights", .text("loftq")),
  ])
  func unsupportedSettingsAreRefusedByName(name: String, value: Setting) throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [4, 3])
    let tensors = tensors(["lora_A.weight": [2, 3], "lora_B.weight": [4, 2]])
    let settings = self.settings.setting(name, to: value)
    let summary = try LoRA.examine(
      tensors.mapValues(\.shape), settings: settings, layer: layer)
    let reason = try #require(summary.notMergeable)
    #expect(reason.contains(name))
    #expect(throws: MethodError.notMergeable(reason: reason)) {
      try LoRA(AdapterModule(layer: layer, settings: settings, tensors: tensors))
    }
  }

  @Test func aResidualBaseMakesThemPlain() throws {
    let settings = MethodSettings([
      "init_lora_weights": .text("corda"), "base_is_residual": .bool(true),
    ])
    #expect(
      try LoRA.examine(
        ["lora_A.weight": [2, 3], "lora_B.weight": [4, 2]], settings: settings, layer: nil
      ).notMergeable == nil)
  }

  @Test func wrongShapesAreNamed() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [4, 3])
    func examine(_ shapes: [String: [Int]], _ layer: LayerGeometry? = layer) throws {
      _ = try LoRA.examine(shapes, settings: settings, layer: layer)
    }
    #expect(throws: MethodError.missingTensor(leaf: "lora_B.weight")) {
      try examine(["lora_A.weight": [2, 3]])
    }
    #expect(
      throws: MethodError.shape(leaf: "lora_A.weight", found: [2, 4], expected: "[2, 3]")
    ) { try examine(["lora_A.weight": [2, 4], "lora_B.weight": [4, 2]]) }
    #expect(
      throws: MethodError.shape(leaf: "lora_B.weight", found: [4, 3], expected: "[4, 2]")
    ) { try examine(["lora_A.weight": [2, 3], "lora_B.weight": [4, 3]]) }
    #expect(
      throws: MethodError.shape(leaf: "lora_B.weight", found: [4, 3], expected: "[4, 2]")
    ) { try examine(["lora_A.weight": [2, 3], "lora_B.weight": [4, 3]], nil) }
    #expect(
      throws: MethodError.shape(leaf: "lora_B.bias", found: [3], expected: "[4]")
    ) {
      try examine(["lora_A.weight": [2, 3], "lora_B.weight": [4, 2], "lora_B.bias": [3]])
    }
    #expect(throws: MethodError.missingTensor(leaf: "lora_magnitude_vector")) {
      _ = try DoRA.examine(
        ["lora_A.weight": [2, 3], "lora_B.weight": [4, 2]], settings: settings, layer: layer)
    }
  }
}
