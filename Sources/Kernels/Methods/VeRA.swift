/// VeRA: `W' = W0 + diag(b)·B·diag(d)·A`, A and B frozen, random, shared by all layers, of which each
/// takes the first `in` columns and the first `out` rows.
///
/// With a magnitude (DVoRA) `W' = diag(m/n)·(W0 + diag(b)·B·diag(d)·A)`, n the row norms, as DoRA.
public struct VeRA: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "VeRA", names: ["vera"], peftTypes: ["VERA"],
    source: "Kopiczko et al. 2023 (2310.11454), equation 2; DVoRA: Liu et al. 2024 (2402.09353)",
    leaves: ["vera_lambda_b", "vera_lambda_d", "vera_magnitude_vector"],
    sharedTensors: ["vera_A", "vera_B"],
    settings: [
      "r", "projection_prng_key", "save_projection", "d_initial", "fan_in_fan_out", "use_dora",
      "dora_simple",
    ],
    trainingSettings: ["init_weights", "vera_dropout"],
    remark: "Projections that were not saved are drawn again, bit for bit.")

  private let layer: LayerGeometry
  private let rank: Int
  /// b, `out`.
  private let lambdaB: [Float]
  /// d, `r`.
  private let lambdaD: [Float]
  /// m, `out`; nil without a magnitude.
  private let magnitude: [Float]?
  private let isDetached: Bool
  /// A, `r × at least in`.
  private let projectionA: AdapterTensor
  /// B, `at least out × r`.
  private let projectionB: AdapterTensor

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    if let layer, layer.kind != .linear { throw .layer(reason: "VeRA needs a linear layer") }
    let rank = try shapes.required("vera_lambda_d", dimensions: 1)[0]
    let found = try shapes.required("vera_lambda_b", dimensions: 1)
    try shapes.expect("vera_lambda_b", [layer?.outFeatures ?? found[0]])
    if shapes["vera_magnitude_vector"] != nil {
      try shapes.expectVector("vera_magnitude_vector", count: found[0])
    }
    return ModuleSummary(
      rank: rank, scale: 1, trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(
      module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    rank = summary.rank ?? 0
    lambdaB = try module.tensor("vera_lambda_b").reals
    lambdaD = try module.tensor("vera_lambda_d").reals
    magnitude = module.tensors["vera_magnitude_vector"]?.reals
    isDetached = try module.settings.bool("dora_simple") ?? true
    var shared = module.context.shared
    if shared["vera_A"] == nil || shared["vera_B"] == nil {
      shared = try Self.initialShared(layers: module.context.layers, settings: module.settings)
    }
    guard let a = shared["vera_A"], a.shape.count == 2, a.shape[0] == rank,
      a.shape[1] >= layer.inFeatures
    else {
      throw .shape(
        leaf: "vera_A", found: shared["vera_A"]?.shape ?? [],
        expected: "\(rank) rows, at least \(layer.inFeatures) columns")
    }
    guard let b = shared["vera_B"], b.shape.count == 2, b.shape[1] == rank,
      b.shape[0] >= layer.outFeatures
    else {
      throw .shape(
        leaf: "vera_B", found: shared["vera_B"]?.shape ?? [],
        expected: "at least \(layer.outFeatures) rows, \(rank) columns")
    }
    (projectionA, projectionB) = (a, b)
  }

  /// The change as low-rank factors: `(diag(b)·B[:out])·(diag(d)·A[:, :in])`.
  private var factors: LowRankFactors {
    let (rows, columns) = (layer.outFeatures, layer.inFeatures)
    var a: [Float] = []
    a.reserveCapacity(rank * columns)
    let (allA, allB, stride) = (projectionA.reals, projectionB.reals, projectionA.shape[1])
    for k in 0..<rank {
      for column in 0..<columns { a.append(lambdaD[k] * allA[k * stride + column]) }
    }
    var b: [Float] = []
    b.reserveCapacity(rows * rank)
    for row in 0..<rows {
      for k in 0..<rank { b.append(lambdaB[row] * allB[row * rank + k]) }
    }
    return LowRankFactors(rank: rank, rows: rows, columns: columns, b: b, a: a, scale: 1)
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let change = LowRankUpdate(factors)
    guard let magnitude else { return change }
    return MagnitudeUpdate(
      magnitude: magnitude, change: change, rows: change.rows, columns: change.columns,
      axis: .perRow)
  }

  /// A and B as PEFT draws them: uniform numbers of the generator seeded with `projection_prng_key`,
  /// A first, in the precision of the base.
  public static func initialShared(
    layers: [LayerGeometry], settings: MethodSettings
  ) throws(MethodError) -> [String: AdapterTensor] {
    guard let element = layers.first?.element else {
      throw .setting(
        name: "save_projection", reason: "is false, and no layers to draw for are known")
    }
    let rank = try settings.positive("r", default: 256)
    let key = try settings.integer("projection_prng_key") ?? 0
    let inFeatures = layers.reduce(0) { max($0, $1.inFeatures) }
    let outFeatures = layers.reduce(0) { max($0, $1.outFeatures) }
    var generator = TorchGenerator(seed: UInt64(bitPattern: Int64(key)))
    let a = generator.kaimingUniform(rank * inFeatures, fanIn: inFeatures)
    let b = generator.kaimingUniform(outFeatures * rank, fanIn: rank)
    return [
      "vera_A": AdapterTensor(shape: [rank, inFeatures], element.widened(element.rounded(a))),
      "vera_B": AdapterTensor(shape: [outFeatures, rank], element.widened(element.rounded(b))),
    ]
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let tensors = [
      MethodTensor("vera_lambda_b", [layer.outFeatures]),
      MethodTensor("vera_lambda_d", [try settings.positive("r", default: 256)]),
    ]
    guard try settings.bool("use_dora") ?? false else { return tensors }
    return tensors + [MethodTensor("vera_magnitude_vector", [layer.outFeatures])]
  }

  /// b = 0, d = `d_initial` in the base's precision; m the row norms of W0.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws -> [String: AdapterTensor] {
    let element = start.layer.element
    let drawn = Float(try start.settings.real("d_initial") ?? 0.1)
    let initial = element.widened(element.rounded([drawn]))[0]
    var result = try startingTensors(start) { $0.leaf == "vera_lambda_d" ? initial : 0 }
    if result["vera_magnitude_vector"] != nil {
      let norms = try MagnitudeUpdate.norms(of: start.weight)
      result["vera_magnitude_vector"] = AdapterTensor(shape: [norms.count], norms)
    }
    return result
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    let projections = VectorProjections<Scalar>(
      inFeatures: layer.inFeatures, outFeatures: layer.outFeatures, rank: rank,
      a: FrozenMatrix(
        widening: projectionA.reals, rows: rank, columns: projectionA.shape[1]),
      b: FrozenMatrix(
        widening: projectionB.reals, rows: projectionB.shape[0], columns: rank))
    return magnitude == nil
      ? VeRALayer(projections: projections)
      : DVoRALayer(projections: projections, isDetached: isDetached)
  }
}

/// The frozen A and B of a layer.
struct VectorProjections<Scalar: TrainingScalar>: Sendable {
  let inFeatures: Int
  let outFeatures: Int
  let rank: Int
  let a: FrozenMatrix<Scalar>
  let b: FrozenMatrix<Scalar>

  /// Calls `body` with A (r × in) and B (out × r).
  func with(_ body: (MatrixView<Scalar>, MatrixView<Scalar>) -> Void) {
    a.withMatrix { a in
      b.withMatrix { b in body(a.columns(0..<inFeatures), b.rows(0..<outFeatures)) }
    }
  }
}

/// VeRA on one linear layer: `y = W0·x + b0 + b∘(B·(d∘(A·x)))`.
///
/// Kept: `X·Aᵀ`, tokens × r.
struct VeRALayer<Scalar: TrainingScalar>: AdapterLayer {
  let projections: VectorProjections<Scalar>

  private var rank: Int { projections.rank }
  private var outFeatures: Int { projections.outFeatures }

  var parameters: [TrainableTensor] {
    [
      TrainableTensor("vera_lambda_b", [outFeatures]), TrainableTensor("vera_lambda_d", [rank]),
    ]
  }

  var needsInput: Bool { false }
  func keptCount(tokens: Int) -> Int { tokens * rank }

  private func b(_ view: ParameterView<Scalar>) -> Row<Scalar> { view.vector(count: outFeatures) }

  private func d(_ view: ParameterView<Scalar>) -> Row<Scalar> {
    view.vector(at: outFeatures, count: rank)
  }

  /// `(X·Aᵀ)∘d`.
  private func weighted(
    _ hidden: MatrixView<Scalar>, pass: LayerPass<Scalar>
  ) -> MatrixView<Scalar> {
    let result = pass.workspace.matrix(rows: hidden.rows, columns: rank)
    pass.products.splitRows(hidden.rows, columns: rank) { tokens in
      result.rows(tokens).copy(hidden.rows(tokens))
      for token in tokens { Scalar.multiply(result[token], by: d(pass.parameters)) }
    }
    return result
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let hidden = pass.kept(rows: input.rows, columns: rank)
    let product = pass.workspace.matrix(rows: input.rows, columns: outFeatures)
    projections.with { a, b in
      pass.products.multiply(input, a.transposed, into: hidden)
      pass.products.multiply(weighted(hidden, pass: pass), b.transposed, into: product)
    }
    pass.products.splitRows(output.rows, columns: outFeatures) { tokens in
      for token in tokens {
        Scalar.add(b(pass.parameters), times: product[token], to: output[token])
      }
    }
  }

  /// `db_i = ⟨(Gᵀ((XAᵀ)∘d))_i, B_i⟩`, `dd = Σ ((G∘b)·B)∘(XAᵀ)`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let tokens = outputGradient.rows
    let hidden = pass.kept(rows: tokens, columns: rank)
    projections.with { a, b in
      let rows = pass.workspace.matrix(rows: outFeatures, columns: rank)
      pass.products.multiply(
        outputGradient.transposed, weighted(hidden, pass: pass), into: rows)
      for row in 0..<outFeatures {
        self.b(gradients)[row] += Scalar.dot(rows[row], b[row])
      }
      let scaled = pass.workspace.matrix(rows: tokens, columns: outFeatures)
      pass.products.splitRows(tokens, columns: outFeatures) { range in
        scaled.rows(range).copy(outputGradient.rows(range))
        for token in range { Scalar.multiply(scaled[token], by: self.b(pass.parameters)) }
      }
      let inner = pass.workspace.matrix(rows: tokens, columns: rank)
      pass.products.multiply(scaled, b, into: inner)
      pass.products.splitColumns(rank, rows: tokens) { columns in
        for token in 0..<tokens {
          let h = inner[token].part(columns)
          Scalar.add(h, times: hidden[token].part(columns), to: d(gradients).part(columns))
          Scalar.multiply(h, by: d(pass.parameters).part(columns))
          _ = hidden[token].part(columns).update(fromContentsOf: h)
        }
      }
    }
  }

  /// `dX += (((G∘b)·B)∘d)·A`; `backward` left the factor of A in the place of `XAᵀ`.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    projections.with { a, _ in
      pass.products.add(
        pass.kept(rows: inputGradient.rows, columns: rank), a, to: inputGradient)
    }
  }
}
