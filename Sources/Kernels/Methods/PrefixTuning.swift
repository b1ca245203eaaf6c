/// Prefix tuning: trained keys and values before those of every attention,
/// `softmax(q·[P_k; K]ᵀ/√d)·[P_v; V]`. No weight changes.
///
/// The file holds one tensor, tokens × layers·2·d_kv: the key, then the value of each layer.
public struct PrefixTuning: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "Prefix tuning", names: ["prefix"], peftTypes: ["PREFIX_TUNING"],
    source: "Li and Liang 2021 (2101.00190), equation 3", leaves: ["prompt_embeddings"],
    settings: ["num_virtual_tokens", "token_dim", "num_layers"],
    trainingSettings: [
      "num_attention_heads", "num_transformer_submodules", "encoder_hidden_size",
      "prefix_projection", "init_weights",
    ],
    notMergeable: "a prefix is extra keys and values, not a change of weights")

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let found = try shapes.required("prompt_embeddings", dimensions: 2)
    if settings["token_dim"] != nil, settings["num_layers"] != nil {
      let tokens = try settings.positive("num_virtual_tokens", default: found[0])
      try shapes.expect("prompt_embeddings", [tokens, try width(settings)])
    }
    return ModuleSummary(
      trainableParameters: found[0] * found[1], changesWeight: false,
      notMergeable: descriptor.notMergeable)
  }

  /// `layers · 2 · d_kv`.
  private static func width(_ settings: MethodSettings) throws(MethodError) -> Int {
    guard let dim = try settings.integer("token_dim"),
      let layers = try settings.integer("num_layers")
    else { throw .setting(name: "token_dim", reason: "and num_layers are needed") }
    return layers * 2 * dim
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: nil)
  }

  public func weightUpdate() throws(MethodError) -> (any WeightUpdate)? {
    throw .notMergeable(reason: Self.descriptor.notMergeable ?? "")
  }

  // MARK: Training

  /// The prefixes of all layers.
  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let tokens = try settings.positive("num_virtual_tokens", default: 30)
    return [MethodTensor("prompt_embeddings", [tokens, try width(settings)])]
  }

  /// Normal numbers, as a new embedding.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    var result: [String: AdapterTensor] = [:]
    for tensor in try tensors(layer: start.layer, settings: start.settings) {
      result[tensor.leaf] = AdapterTensor(shape: tensor.shape, generator.normal(tensor.count))
    }
    return result
  }
}

/// One attention head whose keys and values begin with l trained ones.
///
/// Queries are tokens × d, keys and values (l + tokens) × d with the prefix in their first rows;
/// nothing is masked.
public struct PrefixedAttention<Scalar: TrainingScalar>: Sendable {
  /// l.
  public var prefixLength: Int

  public init(prefixLength: Int) { self.prefixLength = prefixLength }

  /// `output = A·V`, `A = softmax(q·Kᵀ/√d)`; A goes to `weights`, tokens × (l + tokens).
  public func forward(
    queries: MatrixView<Scalar>, keys: MatrixView<Scalar>, values: MatrixView<Scalar>,
    weights: MatrixView<Scalar>, output: MatrixView<Scalar>,
    products: some MatrixProducts<Scalar>
  ) {
    let scale = 1 / Scalar(queries.columns).squareRoot()
    products.multiply(queries, keys.transposed, scale: scale, into: weights)
    for row in 0..<weights.rows { Scalar.softmax(weights[row]) }
    products.multiply(weights, values, into: output)
  }

  /// With `Ga = G·Vᵀ`, `Gs = A∘(Ga − rowsum(Ga∘A))/√d`: `dP_v = A[:, :l]ᵀ·G`, `dP_k = Gs[:, :l]ᵀ·q`,
  /// `dq = Gs·K`. The prefix gradients are added to, `queryGradient` is written.
  public func backward(
    outputGradient: MatrixView<Scalar>, queries: MatrixView<Scalar>, keys: MatrixView<Scalar>,
    values: MatrixView<Scalar>, weights: MatrixView<Scalar>, keyGradient: MatrixView<Scalar>,
    valueGradient: MatrixView<Scalar>, queryGradient: MatrixView<Scalar>,
    products: some MatrixProducts<Scalar>, workspace: Workspace<Scalar>
  ) {
    let scale = 1 / Scalar(queries.columns).squareRoot()
    let prefix = 0..<prefixLength
    workspace.scope {
      let scores = workspace.matrix(rows: weights.rows, columns: weights.columns)
      products.multiply(outputGradient, values.transposed, into: scores)
      for row in 0..<scores.rows {
        Scalar.add(-Scalar.dot(scores[row], weights[row]), to: scores[row])
        Scalar.multiply(scores[row], by: weights[row])
        Scalar.multiply(scores[row], by: scale)
      }
      products.add(weights.columns(prefix).transposed, outputGradient, to: valueGradient)
      products.add(scores.columns(prefix).transposed, queries, to: keyGradient)
      products.multiply(scores, keys, into: queryGradient)
    }
  }
}
