/// Norm tuning: weight and bias of normalisations trained whole; merging replaces them.
public struct NormTuning: TrainableMethod {
  private static let weightLeaf = "ln_tuning_layers.weight"
  private static let biasLeaf = "ln_tuning_layers.bias"

  public static let descriptor = MethodDescriptor(
    title: "Norm tuning", names: ["norms"], peftTypes: ["LN_TUNING"],
    source: "Zhao et al. 2023 (2312.11420)", leaves: [weightLeaf, biasLeaf], settings: [],
    remark: "The file holds the new values, not a difference.")

  private let weight: [Float]?
  private let bias: [Float]?

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    guard let found = shapes[weightLeaf] ?? shapes[biasLeaf] else {
      throw .missingTensor(leaf: weightLeaf)
    }
    for leaf in [weightLeaf, biasLeaf] where shapes[leaf] != nil {
      try shapes.expect(leaf, layer?.shape ?? found)
    }
    return ModuleSummary(
      trainableParameters: shapes.elements(of: descriptor.leaves),
      changesWeight: shapes[weightLeaf] != nil, changesBias: shapes[biasLeaf] != nil)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    weight = module.tensors[Self.weightLeaf]?.reals
    bias = module.tensors[Self.biasLeaf]?.reals
  }

  public func weightUpdate() -> (any WeightUpdate)? { weight.map(Replacement.init) }
  public func biasUpdate() -> (any BiasUpdate)? { bias.map(Replacement.init) }

  /// New values for a vector, seen as a column.
  private struct Replacement: WeightUpdate, BiasUpdate {
    let values: [Float]

    var rows: Int { values.count }
    var columns: Int { 1 }
    var form: UpdateForm { .general }

    func transform(_ band: RowBand, base: RowBand) {
      _ = band.values.update(from: values[band.rows])
    }

    func apply(to bias: inout [Float], weight: any RowSource) { bias = values }
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    guard layer.kind == .normalization else { throw .layer(reason: "norm tuning needs a norm") }
    let weight = [MethodTensor(weightLeaf, layer.shape)]
    return layer.hasBias ? weight + [MethodTensor(biasLeaf, layer.shape)] : weight
  }

  /// The base's own values.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws -> [String: AdapterTensor] {
    var result: [String: AdapterTensor] = [:]
    for tensor in try tensors(layer: start.layer, settings: start.settings) {
      let values = tensor.leaf == weightLeaf ? try start.weight.readAll() : start.bias
      guard let values, values.count == tensor.count else {
        throw MethodError.missingTensor(leaf: tensor.leaf)
      }
      result[tensor.leaf] = AdapterTensor(shape: tensor.shape, values)
    }
    return result
  }
}

/// A normalisation with trained weight and bias: `y = w∘x̂ + b`, in LayerNorm
/// `x̂ = (x − mean)/√(var + ε)`, in RMSNorm `x̂ = x/√(mean(x²) + ε)`.
///
/// Kept: mean and 1/√… of every token.
public struct TrainedNorm<Scalar: TrainingScalar>: Sendable {
  public var epsilon: Scalar
  /// LayerNorm; otherwise RMSNorm.
  public var subtractsMean: Bool

  public init(epsilon: Scalar, subtractsMean: Bool) {
    self.epsilon = epsilon
    self.subtractsMean = subtractsMean
  }

  public func keptCount(tokens: Int) -> Int { 2 * tokens }

  /// - Parameters:
  ///   - input, output: tokens × features; may not overlap.
  ///   - bias: nil where the norm has none.
  public func forward(
    _ input: MatrixView<Scalar>, output: MatrixView<Scalar>, weight: Row<Scalar>,
    bias: Row<Scalar>?, kept: UnsafeMutableBufferPointer<Scalar>
  ) {
    let count = Scalar(input.columns)
    for token in 0..<input.rows {
      let y = output[token]
      _ = y.update(fromContentsOf: input[token])
      let mean = subtractsMean ? Scalar.sum(y) / count : 0
      if subtractsMean { Scalar.add(-mean, to: y) }
      let inverse = 1 / (Scalar.dot(y, y) / count + epsilon).squareRoot()
      (kept[2 * token], kept[2 * token + 1]) = (mean, inverse)
      Scalar.multiply(y, by: inverse)
      Scalar.multiply(y, by: weight)
      if let bias { Scalar.add(bias, times: 1, to: y) }
    }
  }

  /// `dw = Σ G∘x̂`, `db = Σ G`, `dx = (Gw − mean(Gw) − x̂·mean(Gw∘x̂))/√…` with `Gw = G∘w`; RMSNorm
  /// without `mean(Gw)`. Sums are added to, `inputGradient` is written.
  public func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>, weight: Row<Scalar>,
    kept: UnsafeMutableBufferPointer<Scalar>, weightGradient: Row<Scalar>,
    biasGradient: Row<Scalar>?, inputGradient: MatrixView<Scalar>, workspace: Workspace<Scalar>
  ) {
    let count = Scalar(input.columns)
    workspace.scope {
      let normalized = workspace.vector(input.columns)
      for token in 0..<input.rows {
        let (mean, inverse) = (kept[2 * token], kept[2 * token + 1])
        _ = normalized.update(fromContentsOf: input[token])
        if subtractsMean { Scalar.add(-mean, to: normalized) }
        Scalar.multiply(normalized, by: inverse)
        let (g, dx) = (outputGradient[token], inputGradient[token])
        Scalar.add(g, times: normalized, to: weightGradient)
        if let biasGradient { Scalar.add(g, times: 1, to: biasGradient) }
        _ = dx.update(fromContentsOf: g)
        Scalar.multiply(dx, by: weight)
        let along = Scalar.dot(dx, normalized) / count
        if subtractsMean { Scalar.add(-Scalar.sum(dx) / count, to: dx) }
        Scalar.add(normalized, times: -along, to: dx)
        Scalar.multiply(dx, by: inverse)
      }
    }
  }
}
