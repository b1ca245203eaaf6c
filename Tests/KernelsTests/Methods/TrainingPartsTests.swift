import Foundation
import Testing

@testable import Kernels

/// The parts that training layers are made of, and the methods that act outside linear layers.
@Suite struct TrainingPartsTests {
  /// Central differences of `loss` along every element of `values`.
  private func differences(
    _ values: Row<Double>, _ loss: () -> Double
  ) -> [Double] {
    values.indices.map { index in
      let value = values[index]
      values[index] = value + 1e-5
      let up = loss()
      values[index] = value - 1e-5
      let down = loss()
      values[index] = value
      return (up - down) / 2e-5
    }
  }

  private func buffer(_ count: Int, seed: UInt32) -> ScalarBuffer<Double> {
    var numbers = TestNumbers(seed: seed)
    let buffer = ScalarBuffer<Double>(count: count)
    for index in 0..<count { buffer.values[index] = numbers.next() }
    return buffer
  }

  private func loss(_ output: Row<Double>, _ weights: Row<Double>) -> Double {
    zip(output, weights).reduce(0) { $0 + $1.0 * $1.1 }
  }

  @Test func vectorOperations() {
    for count in [0, 1, 7, 8, 9, 31] {
      let (x, y, z) = (
        buffer(count, seed: 1), buffer(count, seed: 2), buffer(count, seed: 3)
      )
      let (a, b, c) = (Array(x.values), Array(y.values), Array(z.values))
      #expect(abs(Double.sum(x.values) - a.reduce(0, +)) < 1e-14)
      #expect(
        abs(Double.dot(x.values, y.values) - zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }) < 1e-14)
      Double.add(x.values, times: 2, to: y.values)
      let scaled: [Double] = zip(a, b).map { 2 * $0 + $1 }
      #expect(Array(y.values) == scaled)
      Double.add(x.values, times: z.values, to: y.values)
      let summed: [Double] = (0..<count).map { scaled[$0] + a[$0] * c[$0] }
      #expect(Array(y.values) == summed)
      Double.multiply(z.values, by: x.values)
      Double.multiply(z.values, by: 3)
      Double.add(1, to: z.values)
      let product: [Double] = (0..<count).map { 3 * (c[$0] * a[$0]) + 1 }
      #expect(Array(z.values) == product)
    }
  }

  @Test func gatherAndScatter() {
    let x = buffer(5, seed: 1)
    let y = ScalarBuffer<Double>(count: 2)
    Double.gather(x.values, at: [4, 1], into: y.values)
    #expect(Array(y.values) == [x.values[4], x.values[1]])
    let before = Array(x.values)
    Double.scatter(y.values, times: 2, to: x.values, at: [0, 4])
    #expect(
      Array(x.values) == [
        before[0] + 2 * before[4], before[1], before[2], before[3], before[4] + 2 * before[1],
      ])
  }

  @Test func viewsAndProducts() {
    let (a, b) = (buffer(6, seed: 1), buffer(12, seed: 2))
    let (left, right) = (a.matrix(rows: 2, columns: 3), b.matrix(rows: 3, columns: 4))
    let c = ScalarBuffer<Double>(count: 8)
    let result = c.matrix(rows: 2, columns: 4)
    let expected =
      2.0 * Dense(2, 3, Array(a.values)) * Dense(3, 4, Array(b.values))
    let products = PlainProducts<Double>()
    products.multiply(left, right, scale: 2, into: result)
    #expect(distance(c.values, expected.values) < 1e-15)
    products.add(left, right, scale: 2, to: result)
    #expect(distance(c.values, (2 * expected).values) < 1e-15)
    // Operands that are transposed views of the same numbers.
    let turned = ScalarBuffer<Double>(count: 6)
    let copy = turned.matrix(rows: 3, columns: 2)
    copy.copy(left.transposed)
    let turnedRight = ScalarBuffer<Double>(count: 12)
    let copyRight = turnedRight.matrix(rows: 4, columns: 3)
    copyRight.copy(right.transposed)
    products.multiply(copy.transposed, copyRight.transposed, scale: 2, into: result)
    #expect(distance(c.values, expected.values) < 1e-15)
    // Blocks of a larger matrix.
    products.multiply(left.columns(1..<3), right.rows(1..<3), into: result)
    let block =
      Dense(2, 2, [a.values[1], a.values[2], a.values[4], a.values[5]])
      * Dense(2, 4, Array(b.values[4...]))
    #expect(distance(c.values, block.values) < 1e-15)
    #expect(left.transposed[2, 1] == left[1, 2] && left.rows(1..<2)[0, 0] == left[1, 0])
  }

  @Test func workspaceIsReused() {
    let workspace = Workspace<Float>()
    var starts: [[UnsafeMutablePointer<Float>]] = []
    for _ in 0..<3 {
      workspace.scope {
        let a = workspace.matrix(rows: 3, columns: 5)
        let inner = workspace.scope { workspace.matrix(rows: 100, columns: 300).start }
        let b = workspace.vector(7)
        b.update(repeating: 1)
        a.fill(2)
        #expect(b.allSatisfy { $0 == 1 } && a[2].allSatisfy { $0 == 2 })
        starts.append([a.start, inner])
      }
    }
    #expect(starts[1] == starts[2])
    #expect(starts.allSatisfy { Int(bitPattern: $0[0]) % 64 == 0 })
  }

  @Test func dropoutKeepsItsShare() {
    let mask = DropoutMask(probability: 0.3, seed: 9)
    let x = ScalarBuffer<Double>(count: 20_000)
    x.values.update(repeating: 1)
    let view = x.matrix(rows: 20, columns: 1000)
    let y = ScalarBuffer<Double>(count: 20_000)
    mask.apply(to: view, into: y.matrix(rows: 20, columns: 1000))
    let kept = y.values.filter { $0 != 0 }
    #expect(kept.allSatisfy { $0 == 1 / 0.7 })
    #expect(abs(Double(kept.count) / 20_000 - 0.7) < 0.01)
    // The mask depends on the seed and the element's index alone.
    let again = ScalarBuffer<Double>(count: 20_000)
    mask.add(view, to: again.matrix(rows: 20, columns: 1000))
    #expect(Array(again.values) == Array(y.values))
    let other = DropoutMask(probability: 0.3, seed: 10)
    other.apply(to: view, into: again.matrix(rows: 20, columns: 1000))
    #expect(Array(again.values) != Array(y.values))
    let none = DropoutMask(probability: 0, seed: 1)
    none.apply(to: view, into: again.matrix(rows: 20, columns: 1000))
    #expect(Array(again.values) == Array(x.values))
  }

  /// `spread` is the transpose of `collect`.
  @Test func featureMaps() {
    let maps = [
      FeatureMap(cyclic: 12, features: 10, positions: 4),
      FeatureMap(cyclic: 3, features: 10, positions: 4),
      FeatureMap(cyclic: 10, features: 10, positions: 12),
      FeatureMap(cyclic: 12, features: 5, positions: 12),
      FeatureMap(groupsOf: 10, positions: 4), FeatureMap(groupsOf: 3, positions: 7),
    ]
    for map in maps {
      for position in 0..<map.positions {
        let unit = ScalarBuffer<Double>(count: map.positions)
        unit.values[position] = 1
        let spread = ScalarBuffer<Double>(count: map.features)
        map.spread(unit.values, addingTo: spread.values)
        for feature in 0..<map.features {
          let one = ScalarBuffer<Double>(count: map.features)
          one.values[feature] = 1
          let sums = ScalarBuffer<Double>(count: map.positions)
          map.collect(one.values, into: sums.values)
          #expect(sums.values[position] == spread.values[feature])
        }
      }
    }
    #expect(
      FeatureMap(groupsOf: 10, positions: 4).positionOfFeature
        == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3])
    #expect(
      FeatureMap(cyclic: 3, features: 5, positions: 4).positionOfFeature == [0, 1, 2, nil, nil])
  }

  @Test(arguments: Activation.allCases)
  func activations(_ function: Activation) {
    for x in stride(from: -4.0, through: 4, by: 0.37) {
      let numeric = (function.value(x + 1e-5) - function.value(x - 1e-5)) / 2e-5
      #expect(abs(function.derivative(x) - numeric) < 1e-8, "\(function) at \(x)")
    }
  }

  @Test func activationValues() {
    #expect(abs(Activation.gelu.value(1.0) - 0.8413447460685429) < 1e-15)
    #expect(abs(Activation.geluTanh.value(1.0) - 0.8411919906082768) < 1e-15)
    #expect(abs(Activation.silu.value(1.0) - 0.7310585786300049) < 1e-15)
    #expect(Activation(name: "Swish") == .silu && Activation(name: "cosine") == nil)
  }

  @Test(arguments: [true, false])
  func norms(subtractsMean: Bool) {
    let norm = TrainedNorm<Double>(epsilon: 1e-5, subtractsMean: subtractsMean)
    let (x, g) = (buffer(27, seed: 1), buffer(27, seed: 2))
    let (w, b) = (buffer(9, seed: 3), buffer(9, seed: 4))
    let (y, dx) = (ScalarBuffer<Double>(count: 27), ScalarBuffer<Double>(count: 27))
    let (dw, db) = (ScalarBuffer<Double>(count: 9), ScalarBuffer<Double>(count: 9))
    let kept = ScalarBuffer<Double>(count: norm.keptCount(tokens: 3))
    func matrix(_ buffer: ScalarBuffer<Double>) -> MatrixView<Double> {
      buffer.matrix(rows: 3, columns: 9)
    }
    func forward() -> Double {
      norm.forward(
        matrix(x), output: matrix(y), weight: w.values, bias: b.values, kept: kept.values)
      return loss(y.values, g.values)
    }
    _ = forward()
    // Each token by the definition.
    for token in 0..<3 {
      let row = Array(x.values[token * 9..<token * 9 + 9])
      let mean = subtractsMean ? row.reduce(0, +) / 9 : 0
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 9
      for j in 0..<9 {
        let expected = (row[j] - mean) / (variance + 1e-5).squareRoot() * w.values[j] + b.values[j]
        #expect(abs(y.values[token * 9 + j] - expected) < 1e-13)
      }
    }
    norm.backward(
      matrix(g), input: matrix(x), weight: w.values, kept: kept.values,
      weightGradient: dw.values, biasGradient: db.values, inputGradient: matrix(dx),
      workspace: Workspace())
    #expect(distance(dw.values, differences(w.values, forward)) < 1e-8)
    #expect(distance(db.values, differences(b.values, forward)) < 1e-8)
    #expect(distance(dx.values, differences(x.values, forward)) < 1e-8)
  }

  @Test(arguments: [
    ("tanh", false, 1.0), ("gelu", false, 1), ("relu", true, 4), ("silu", true, 0.5),
  ])
  func bottlenecks(name: String, isParallel: Bool, scale: Double) throws {
    let test = MethodCase(
      name: "bottleneck \(name)", method: Bottleneck.self,
      settings: [
        "bottleneck_size": .integer(3), "non_linearity": .text(name), "scaling": .real(scale),
        "use_parallel_adapter": .bool(isParallel),
      ], oracle: { weight, bias, _ in (weight, bias) })
    for (out, columns) in [(8, 5), (5, 8)] {
      let bench = try Bench(test, out: out, in: columns)
      try checkGradients(bench)
      try checkStart(bench)
      let run = try bench.run(Double.self)
      let plain = Dense(2, out, run.plainOutput(bench.input).values.map { $0 })
      let h = isParallel ? bench.input : plain
      let tensors = bench.module.tensors.mapValues { Dense($0) }
      let function = try #require(Activation(name: name))
      var expected = plain
      for token in 0..<2 {
        let z = (0..<3).map { k in
          (0..<h.columns).reduce(tensors["adapter_down.bias"]!.values[k]) {
            $0 + h[token, $1] * tensors["adapter_down.weight"]![k, $1]
          }
        }
        for o in 0..<out {
          let u = (0..<3).reduce(tensors["adapter_up.bias"]!.values[o]) {
            $0 + function.value(z[$1]) * tensors["adapter_up.weight"]![o, $1]
          }
          expected[token, o] += scale * u
        }
      }
      #expect(distance(run.output(bench.input), expected.values) < 1e-12)
    }
  }

  @Test func bottleneckWithoutBiases() throws {
    let layer = LayerGeometry(module: "l", kind: .linear, shape: [8, 5])
    var numbers = TestNumbers(seed: 1)
    let method = try Bottleneck(
      AdapterModule(
        layer: layer, settings: MethodSettings([:]),
        tensors: [
          "adapter_down.weight": numbers.tensor([3, 8]),
          "adapter_up.weight": numbers.tensor([8, 3]),
        ]))
    #expect(
      try method.trainingLayer(Float.self).parameters.map(\.leaf)
        == ["adapter_down.weight", "adapter_up.weight"])
  }

  @Test func prefixes() {
    let (tokens, length, width, prefix) = (4, 7, 6, 2)
    let attention = PrefixedAttention<Double>(prefixLength: prefix)
    let (q, k, v) = (
      buffer(tokens * width, seed: 1), buffer(length * width, seed: 2),
      buffer(length * width, seed: 3)
    )
    let g = buffer(tokens * width, seed: 4)
    let a = ScalarBuffer<Double>(count: tokens * length)
    let o = ScalarBuffer<Double>(count: tokens * width)
    let weights = a.matrix(rows: tokens, columns: length)
    let (queries, output) = (
      q.matrix(rows: tokens, columns: width), o.matrix(rows: tokens, columns: width)
    )
    let (keys, values) = (
      k.matrix(rows: length, columns: width), v.matrix(rows: length, columns: width)
    )
    let products = PlainProducts<Double>()
    func forward() -> Double {
      attention.forward(
        queries: queries, keys: keys, values: values, weights: weights, output: output,
        products: products)
      return loss(o.values, g.values)
    }
    _ = forward()
    let expected = Array(o.values)
    let dk = ScalarBuffer<Double>(count: prefix * width)
    let dv = ScalarBuffer<Double>(count: prefix * width)
    let dq = ScalarBuffer<Double>(count: tokens * width)
    attention.backward(
      outputGradient: g.matrix(rows: tokens, columns: width), queries: queries, keys: keys,
      values: values, weights: weights, keyGradient: dk.matrix(rows: prefix, columns: width),
      valueGradient: dv.matrix(rows: prefix, columns: width),
      queryGradient: dq.matrix(rows: tokens, columns: width), products: products,
      workspace: Workspace())
    let count = prefix * width
    #expect(distance(dk.values, differences(Row(rebasing: k.values[..<count]), forward)) < 1e-8)
    #expect(distance(dv.values, differences(Row(rebasing: v.values[..<count]), forward)) < 1e-8)
    #expect(distance(dq.values, differences(q.values, forward)) < 1e-8)

    // He et al. 2021: a gated mixture of attention to the prefix and to the rest.
    for token in 0..<tokens {
      let scores = (0..<length).map { row in
        exp(Double.dot(queries[token], keys[row]) / Double(width).squareRoot())
      }
      func attend(_ rows: Range<Int>, _ column: Int) -> Double {
        rows.reduce(0) { $0 + scores[$1] * values[$1, column] }
          / rows.reduce(0) { $0 + scores[$1] }
      }
      let gate = scores[..<prefix].reduce(0, +) / scores.reduce(0, +)
      for column in 0..<width {
        let mixture =
          (1 - gate) * attend(prefix..<length, column) + gate * attend(0..<prefix, column)
        #expect(abs(mixture - expected[token * width + column]) < 1e-12)
      }
    }
  }

  @Test func prompts() {
    let (p, x) = (buffer(2 * 3, seed: 1), buffer(2 * 4 * 3, seed: 2))
    let y = ScalarBuffer<Double>(count: 2 * 6 * 3)
    let g = buffer(2 * 6 * 3, seed: 3)
    let prompt = p.matrix(rows: 2, columns: 3)
    func forward() -> Double {
      PromptTuning.forward(
        prompt: prompt, embeddings: x.matrix(rows: 8, columns: 3), sequences: 2,
        output: y.matrix(rows: 12, columns: 3))
      return loss(y.values, g.values)
    }
    _ = forward()
    #expect(Array(y.values[..<6]) == Array(p.values) && Array(y.values[18..<24]) == Array(p.values))
    #expect(Array(y.values[6..<18]) == Array(x.values[..<12]))
    #expect(Array(y.values[24...]) == Array(x.values[12...]))
    let dp = ScalarBuffer<Double>(count: 6)
    PromptTuning.backward(
      outputGradient: g.matrix(rows: 12, columns: 3), sequences: 2,
      promptGradient: dp.matrix(rows: 2, columns: 3))
    #expect(distance(dp.values, differences(p.values, forward)) < 1e-8)
  }

  @Test func parametersLieOneAfterTheOther() throws {
    let layer = LoRALayer<Float>(
      inFeatures: 3, outFeatures: 4, rank: 2, scale: 1, trainsBias: true)
    let store = TrainableParameters<Float>(layers: [("a", layer), ("b", layer)])
    #expect(
      store.entries.map(\.name) == [
        "a.lora_A.weight", "a.lora_B.weight", "a.lora_B.bias", "b.lora_A.weight",
        "b.lora_B.weight", "b.lora_B.bias",
      ])
    #expect(store.entries[4].range == 24..<32 && store.values.count == 36)
    let views = store.views(entries: 3..<6)
    views.values.values.update(repeating: 1)
    views.gradients.vector(at: 6, count: 8).update(repeating: 2)
    #expect(
      store.values.values.map { $0 } == [Float](repeating: 0, count: 18)
        + [Float](repeating: 1, count: 18))
    #expect(store.gradients.values[23] == 0 && store.gradients.values[24] == 2)
    #expect(layer.parameterCount == 18)
  }

  @Test func loadingAndSavingAdapters() throws {
    let test = MethodCase(
      name: "LoRA", method: LoRA.self, settings: ["r": .integer(2), "lora_bias": .bool(true)],
      oracle: { weight, bias, _ in (weight, bias) })
    let bench = try Bench(test, out: 4, in: 3)
    let run = try bench.run(Float.self)
    let tensors = run.adapter.tensors()
    #expect(tensors.keys.sorted() == bench.module.tensors.keys.sorted())
    for (leaf, tensor) in tensors {
      #expect(tensor.shape == bench.module.tensors[leaf]?.shape)
      #expect(tensor.reals == bench.module.tensors[leaf]?.reals)
    }
    var missing = bench.module.tensors
    missing["lora_B.bias"] = nil
    #expect(throws: MethodError.missingTensor(leaf: "lora_B.bias")) {
      try run.adapter.load(missing)
    }
    missing["lora_B.bias"] = AdapterTensor(shape: [3], [0, 0, 0])
    #expect(throws: MethodError.self) { try run.adapter.load(missing) }
  }
}
