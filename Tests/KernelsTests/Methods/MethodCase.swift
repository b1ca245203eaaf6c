import Testing

@testable import Kernels

/// One method on one linear layer, with an oracle in f64 for what it does to weight and bias.
struct MethodCase: CustomTestStringConvertible, Sendable {
  var name: String
  var method: any TrainableMethod.Type
  var settings: [String: Setting]
  /// Additional tensors that all modules share.
  var shared: [String: AdapterTensor] = [:]
  /// Magnitude of the random parameters.
  var spread = 0.5
  /// (W0, b0, the module's tensors) → (W', b'); b0 and b' are zeros where there is none.
  var oracle: @Sendable (Dense, [Double], [String: Dense]) -> (Dense, [Double])
  /// Frozen tensors and others that a random number would not do for.
  var fixed: @Sendable (LayerGeometry) -> [String: AdapterTensor] = { _ in [:] }
  /// Parameters whose gradient takes what is derived from them for a constant.
  var detached: Set<String> = []

  var testDescription: String { name }
}

/// A case on a layer of given size, with data.
struct Bench {
  let test: MethodCase
  let layer: LayerGeometry
  let weight: Dense
  let bias: [Double]?
  let module: AdapterModule
  let method: any TrainableMethod
  let input: Dense
  let gradient: Dense

  init(_ test: MethodCase, out: Int, in columns: Int, hasBias: Bool = true, seed: UInt32 = 1) throws
  {
    var numbers = TestNumbers(seed: seed)
    self.test = test
    layer = LayerGeometry(
      module: "layer", kind: .linear, shape: [out, columns], hasBias: hasBias)
    weight = Dense(out, columns, numbers.doubles(out * columns))
    bias = hasBias ? numbers.doubles(out) : nil
    input = Dense(2, columns, numbers.doubles(2 * columns))
    gradient = Dense(2, out, numbers.doubles(2 * out))
    let settings = MethodSettings(test.settings)
    var tensors: [String: AdapterTensor] = [:]
    for tensor in try test.method.tensors(layer: layer, settings: settings) {
      tensors[tensor.leaf] = numbers.tensor(tensor.shape, test.spread)
    }
    tensors.merge(test.fixed(layer)) { $1 }
    module = AdapterModule(
      layer: layer, settings: settings, tensors: tensors,
      context: AdapterContext(shared: test.shared, layers: [layer]))
    method = try test.method.init(module)
  }

  var expected: (Dense, [Double]) {
    test.oracle(
      weight, bias ?? [Double](repeating: 0, count: layer.outFeatures),
      module.tensors.mapValues { Dense($0) })
  }

  func run<Scalar: TrainingScalar>(_: Scalar.Type) throws -> TrainingRun<Scalar> {
    try TrainingRun(self)
  }
}

/// A case's training layer with its memory.
final class TrainingRun<Scalar: TrainingScalar> {
  let bench: Bench
  let base: DenseLayer<Scalar>
  let store: TrainableParameters<Scalar>
  let adapter: AttachedAdapter<Scalar>
  /// Views do not keep their memory alive; this does.
  private var owned: [ScalarBuffer<Scalar>] = []

  init(_ bench: Bench, tensors: [String: AdapterTensor]? = nil) throws {
    self.bench = bench
    base = DenseLayer(bench.weight, bias: bench.bias)
    let layer = try bench.method.trainingLayer(Scalar.self)
    store = TrainableParameters(layers: [(bench.layer.module, layer)])
    let views = store.views(entries: 0..<store.entries.count)
    adapter = AttachedAdapter(
      layer, parameters: views.values, gradients: views.gradients, base: base,
      products: PlainProducts<Scalar>(), workspace: Workspace())
    try adapter.load(tensors ?? bench.module.tensors)
  }

  /// What the frozen layer makes of `input`.
  func plainOutput(_ input: Dense) -> ScalarBuffer<Scalar> {
    let output = buffer(input.rows * bench.layer.outFeatures)
    let view = output.matrix(rows: input.rows, columns: bench.layer.outFeatures)
    let x = scalars(input)
    var seen = x
    if adapter.layer.transformsInput {
      seen = buffer(x.count)
      adapter.transformInput(matrix(x, input), into: matrix(seen, input))
    }
    base.multiply(matrix(seen, input), into: view)
    if let bias = base.bias {
      for token in 0..<input.rows { Scalar.add(bias, times: 1, to: view[token]) }
    }
    return output
  }

  func output(_ input: Dense, dropout: DropoutMask? = nil) -> [Double] {
    let output = plainOutput(input)
    adapter.forward(
      matrix(scalars(input), input),
      output: output.matrix(rows: input.rows, columns: bench.layer.outFeatures), dropout: dropout)
    return output.values.map { Double($0) }
  }

  /// Gradients of Σ Y∘G with respect to the parameters and X; G is the bench's own by default.
  func gradients(
    of outputGradient: Dense? = nil, dropout: DropoutMask? = nil
  ) -> (parameters: [Double], input: [Double]) {
    let x = scalars(bench.input)
    let g = scalars(outputGradient ?? bench.gradient)
    let dx = buffer(x.count)
    let output = plainOutput(bench.input)
    let (input, gradient) = (matrix(x, bench.input), matrix(g, bench.gradient))
    store.gradients.values.update(repeating: 0)
    adapter.forward(input, output: matrix(output, bench.gradient), dropout: dropout)
    adapter.backward(gradient, input: input, dropout: dropout)
    base.multiplyTransposed(gradient, into: matrix(dx, bench.input))
    adapter.addInputGradient(
      to: matrix(dx, bench.input), outputGradient: gradient, input: input, dropout: dropout)
    return (store.gradients.values.map { Double($0) }, dx.values.map { Double($0) })
  }

  private func buffer(_ count: Int) -> ScalarBuffer<Scalar> {
    let buffer = ScalarBuffer<Scalar>(count: count)
    owned.append(buffer)
    return buffer
  }

  private func scalars(_ dense: Dense) -> ScalarBuffer<Scalar> {
    let buffer = buffer(dense.values.count)
    for (index, value) in dense.values.enumerated() { buffer.values[index] = Scalar(value) }
    return buffer
  }

  private func matrix(_ buffer: ScalarBuffer<Scalar>, _ like: Dense) -> MatrixView<Scalar> {
    buffer.matrix(rows: like.rows, columns: like.columns)
  }
}

/// Σ values∘weights.
func weighted(_ values: [Double], _ weights: [Double]) -> Double {
  zip(values, weights).reduce(0) { $0 + $1.0 * $1.1 }
}

/// The checks that every method passes, on layers whose sizes the rank does not divide.
func checkMethod(
  _ test: MethodCase,
  sizes: [(out: Int, in: Int)] = [(12, 20), (7, 30), (30, 7), (1, 9), (9, 1), (5, 2)]
) throws {
  for (index, size) in sizes.enumerated() {
    for hasBias in [true, false] where hasBias || index == 0 {
      let bench = try Bench(
        test, out: size.out, in: size.in, hasBias: hasBias, seed: UInt32(index + 1))
      try checkMerge(bench)
      try checkForward(bench)
      try checkGradients(bench)
      if index == 0 {
        try checkGradients(bench, dropout: DropoutMask(probability: 0.4, seed: 5))
      }
      try checkStart(bench)
    }
  }
}

func label(_ bench: Bench) -> Comment {
  "\(bench.test.name), \(bench.layer.outFeatures) × \(bench.layer.inFeatures)"
}

/// The merged weight and bias are the oracle's, however rows are banded and the base is stored.
private func checkMerge(_ bench: Bench) throws {
  let (weight, bias) = bench.expected
  if let update = try bench.method.weightUpdate() {
    let result = try merged(update, bench.weight)
    #expect(distance(result.map { Double($0) }, weight.values) < 2e-6, label(bench))
    #expect(try merged(update, bench.weight, height: 1) == result, label(bench))
    #expect(try merged(update, bench.weight, height: 1000) == result, label(bench))
    if let turned = update.transposed() {
      let other = try merged(turned, bench.weight.transposed)
      #expect(
        distance(
          Dense(update.columns, update.rows, other.map { Double($0) }).transposed.values,
          weight.values)
          < 2e-6, label(bench))
    }
    if let factors = update.lowRank {
      let product =
        Double(factors.scale) * Dense(factors.rows, factors.rank, factors.b.map { Double($0) })
        * Dense(factors.rank, factors.columns, factors.a.map { Double($0) })
      #expect(distance((bench.weight + product).values, weight.values) < 2e-6, label(bench))
    }
    try checkInverse(update, result, bench)
  } else {
    #expect(distance(weight.values, bench.weight.values) == 0, label(bench))
  }
  var values = (bench.bias ?? [Double](repeating: 0, count: bench.layer.outFeatures)).map {
    Float($0)
  }
  try bench.method.biasUpdate()?.apply(to: &values, weight: DenseSource(bench.weight))
  #expect(distance(values.map { Double($0) }, bias) < 1e-6, label(bench))
  if let inverse = try bench.method.biasUpdate()?.inverse() {
    try inverse.apply(to: &values, weight: DenseSource(bench.weight))
    let original = bench.bias ?? values.map { _ in 0 }
    #expect(distance(values.map { Double($0) }, original) < 1e-5, label(bench))
  }
  // What is announced is what happens.
  let summary = try bench.test.method.examine(
    bench.module.tensors.mapValues(\.shape), settings: bench.module.settings, layer: bench.layer)
  #expect(try summary.changesWeight == (bench.method.weightUpdate() != nil), label(bench))
  #expect(try summary.changesBias == (bench.method.biasUpdate() != nil), label(bench))
  #expect(
    try summary.trainableParameters
      == bench.test.method.parameterCount(layer: bench.layer, settings: bench.module.settings),
    label(bench))
}

/// Where an update can be taken back, it is, also where the base is stored transposed.
private func checkInverse(_ update: any WeightUpdate, _ result: [Float], _ bench: Bench) throws {
  let changed = Dense(update.rows, update.columns, result.map { Double($0) })
  guard let inverse = update.inverse() else {
    #expect(bench.test.method is DoRA.Type || bench.module.tensors["vera_magnitude_vector"] != nil)
    return
  }
  let back = try merged(inverse, changed)
  #expect(distance(back.map { Double($0) }, bench.weight.values) < 1e-5, label(bench))
  if let turned = inverse.transposed() {
    let back = try merged(turned, changed.transposed)
    #expect(
      distance(back.map { Double($0) }, bench.weight.transposed.values) < 1e-5, label(bench))
  }
  let again = try #require(inverse.inverse())
  #expect(try merged(again, bench.weight) == result, label(bench))
}

/// The layer in training computes what the merged layer computes.
private func checkForward(_ bench: Bench) throws {
  let (weight, bias) = bench.expected
  var expected = bench.input * weight.transposed
  for token in 0..<expected.rows { for i in bias.indices { expected[token, i] += bias[i] } }
  #expect(
    distance(try bench.run(Double.self).output(bench.input), expected.values) < 1e-12, label(bench))
  #expect(
    distance(try bench.run(Float.self).output(bench.input), expected.values) < 1e-5, label(bench))
}

/// Gradients against central differences in f64.
func checkGradients(_ bench: Bench, dropout: DropoutMask? = nil) throws {
  let run = try bench.run(Double.self)
  let (parameters, input) = run.gradients(dropout: dropout)
  let step = 1e-5
  func difference(_ change: (Double) -> [Double]) -> Double {
    let up = weighted(change(step), bench.gradient.values)
    let down = weighted(change(-step), bench.gradient.values)
    return (up - down) / (2 * step)
  }
  for entry in run.store.entries {
    let isDetached = bench.test.detached.contains { entry.name.hasSuffix($0) }
    let numeric = entry.range.map { index in
      difference { delta in
        let value = run.store.values.values[index]
        run.store.values.values[index] = value + delta
        // What is derived stays as it is where the gradient takes it for a constant.
        if !isDetached { run.adapter.parametersChanged() }
        let output = run.output(bench.input, dropout: dropout)
        run.store.values.values[index] = value
        if !isDetached { run.adapter.parametersChanged() }
        return output
      }
    }
    #expect(distance(parameters[entry.range], numeric) < 1e-6, "\(entry.name): \(label(bench))")
  }
  let numeric = bench.input.values.indices.map { index in
    difference { delta in
      var moved = bench.input
      moved.values[index] += delta
      return run.output(moved, dropout: dropout)
    }
  }
  #expect(distance(input, numeric) < 1e-6, "input: \(label(bench))")
}

/// A new adapter leaves the layer as it is, bit for bit, and has the announced tensors.
func checkStart(_ bench: Bench) throws {
  var generator = TorchGenerator(seed: 1)
  let tensors = try bench.test.method.initialTensors(
    ModuleStart(
      layer: bench.layer, settings: bench.module.settings, weight: DenseSource(bench.weight)),
    generator: &generator)
  let announced = try bench.test.method.tensors(layer: bench.layer, settings: bench.module.settings)
  #expect(Set(announced.map(\.leaf)) == Set(tensors.keys), label(bench))
  for tensor in announced { #expect(tensors[tensor.leaf]?.shape == tensor.shape, label(bench)) }
  var module = bench.module
  module.tensors = tensors
  var start = bench
  start = try Bench(replacing: module, in: start)
  let run = try TrainingRun<Float>(start, tensors: tensors)
  #expect(
    run.output(bench.input) == run.plainOutput(bench.input).values.map { Double($0) }, label(bench))
}

extension Bench {
  init(replacing module: AdapterModule, in bench: Bench) throws {
    (test, layer, weight, bias) = (bench.test, bench.layer, bench.weight, bench.bias)
    (input, gradient) = (bench.input, bench.gradient)
    self.module = module
    method = try bench.test.method.init(module)
  }
}
