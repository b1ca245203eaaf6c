/// Bottleneck adapters: `y = h + s·(U·f(D·h + c) + u)` on a sub-layer's output h (Houlsby), or beside
/// it, `y = F(x) + s·(U·f(D·x + c) + u)` (He, parallel). Not linear, so never part of a weight.
public struct Bottleneck: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "Bottleneck adapter", names: ["bottleneck", "parallel"], peftTypes: ["BOTTLENECK"],
    source: "Houlsby et al. 2019 (1902.00751), figure 2; He et al. 2021 (2110.04366), table 1",
    leaves: leafNames,
    settings: [
      "bottleneck_size", "non_linearity", "use_parallel_adapter", "use_adapterp", "scaling",
      "init_weights",
    ],
    trainingSettings: ["adapter_dropout"],
    notMergeable: "a bottleneck adapter is not linear; it stays a layer of its own",
    remark: "Biases are optional, as in the LLM-Adapters files.")

  private static let leafNames = [
    "adapter_down.weight", "adapter_down.bias", "adapter_up.weight", "adapter_up.bias",
  ]

  private let layer: LayerGeometry
  private let size: Int
  private let scale: Double
  private let activation: Activation
  private let isParallel: Bool
  private let hasBiases: Bool

  /// The features that enter the bottleneck.
  private static func features(
    of layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> Int {
    try isParallel(settings) ? layer.inFeatures : layer.outFeatures
  }

  private static func isParallel(_ settings: MethodSettings) throws(MethodError) -> Bool {
    try settings.bool("use_parallel_adapter") ?? false
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let down = try shapes.required("adapter_down.weight", dimensions: 2)
    let up = try shapes.required("adapter_up.weight", dimensions: 2)
    var entering = down[1]
    if let layer { entering = try features(of: layer, settings: settings) }
    try shapes.expect("adapter_down.weight", [down[0], entering])
    try shapes.expect("adapter_up.weight", [layer?.outFeatures ?? up[0], down[0]])
    guard (shapes["adapter_down.bias"] == nil) == (shapes["adapter_up.bias"] == nil) else {
      throw .missingTensor(
        leaf: shapes["adapter_up.bias"] == nil ? "adapter_up.bias" : "adapter_down.bias")
    }
    if shapes["adapter_down.bias"] != nil {
      try shapes.expect("adapter_down.bias", [down[0]])
      try shapes.expect("adapter_up.bias", [up[0]])
    }
    _ = try activation(settings)
    return ModuleSummary(
      rank: down[0], scale: try settings.real("scaling") ?? 1,
      trainableParameters: shapes.elements(of: leafNames), changesWeight: false,
      notMergeable: descriptor.notMergeable)
  }

  private static func activation(_ settings: MethodSettings) throws(MethodError) -> Activation {
    let name = try settings.text("non_linearity") ?? "tanh"
    guard let activation = Activation(name: name) else {
      throw .setting(name: "non_linearity", reason: "\(name) is not known")
    }
    return activation
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(
      module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    size = summary.rank ?? 0
    scale = summary.scale ?? 1
    activation = try Self.activation(module.settings)
    isParallel = try Self.isParallel(module.settings)
    hasBiases = module.tensors["adapter_down.bias"] != nil
  }

  public func weightUpdate() throws(MethodError) -> (any WeightUpdate)? {
    throw .notMergeable(reason: Self.descriptor.notMergeable ?? "")
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let size = try settings.positive("bottleneck_size", default: 256)
    let entering = try features(of: layer, settings: settings)
    return [
      MethodTensor("adapter_down.weight", [size, entering]),
      MethodTensor("adapter_down.bias", [size]),
      MethodTensor("adapter_up.weight", [layer.outFeatures, size]),
      MethodTensor("adapter_up.bias", [layer.outFeatures]),
    ]
  }

  /// By `init_weights`: "lora" (default) draws D as LoRA's A and starts at U = 0; "bert" draws both
  /// from a normal distribution with deviation 0.02. Biases start at 0.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    var result = try startingTensors(start) { _ in 0 }
    let rule = try start.settings.text("init_weights") ?? "lora"
    guard rule == "lora" || rule == "bert" else {
      throw .setting(name: "init_weights", reason: "must be lora or bert")
    }
    for leaf in ["adapter_down.weight", "adapter_up.weight"] {
      guard let tensor = result[leaf], rule == "bert" || leaf == "adapter_down.weight" else {
        continue
      }
      let values =
        rule == "bert"
        ? generator.normal(tensor.count, deviation: 0.02)
        : generator.kaimingUniform(
          tensor.count, fanIn: tensor.shape[1], slope: 5.0.squareRoot())
      result[leaf] = AdapterTensor(shape: tensor.shape, values)
    }
    return result
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    BottleneckLayer<Scalar>(
      features: isParallel ? layer.inFeatures : layer.outFeatures, outFeatures: layer.outFeatures,
      size: size, scale: Scalar(scale), activation: activation, isParallel: isParallel,
      hasBiases: hasBiases)
  }
}

/// A bottleneck on one layer or sub-layer: with h the output, or the input where it is parallel,
/// `Y += s·(f(h·Dᵀ + c)·Uᵀ + u)`.
///
/// Kept: `z = h·Dᵀ + c`, tokens × m, and h where it is the output.
struct BottleneckLayer<Scalar: TrainingScalar>: AdapterLayer {
  /// Of h.
  let features: Int
  let outFeatures: Int
  /// m.
  let size: Int
  let scale: Scalar
  let activation: Activation
  let isParallel: Bool
  let hasBiases: Bool

  var parameters: [TrainableTensor] {
    let down = TrainableTensor("adapter_down.weight", [size, features])
    let up = TrainableTensor("adapter_up.weight", [outFeatures, size])
    guard hasBiases else { return [down, up] }
    return [
      down, up, TrainableTensor("adapter_down.bias", [size]),
      TrainableTensor("adapter_up.bias", [outFeatures]),
    ]
  }

  var needsInput: Bool { isParallel }
  func keptCount(tokens: Int) -> Int { tokens * (size + (isParallel ? 0 : features)) }

  private struct Tensors {
    var down: MatrixView<Scalar>
    var up: MatrixView<Scalar>
    var downBias: Row<Scalar>?
    var upBias: Row<Scalar>?
  }

  private func tensors(_ view: ParameterView<Scalar>) -> Tensors {
    let weights = size * (features + outFeatures)
    return Tensors(
      down: view.matrix(rows: size, columns: features),
      up: view.matrix(at: size * features, rows: outFeatures, columns: size),
      downBias: hasBiases ? view.vector(at: weights, count: size) : nil,
      upBias: hasBiases ? view.vector(at: weights + size, count: outFeatures) : nil)
  }

  /// h: kept, or X.
  private func entering(
    _ input: MatrixView<Scalar>, pass: LayerPass<Scalar>
  ) -> MatrixView<Scalar> {
    isParallel
      ? input : pass.kept(at: input.rows * size, rows: input.rows, columns: features)
  }

  /// f(z).
  private func activated(
    _ hidden: MatrixView<Scalar>, pass: LayerPass<Scalar>
  ) -> MatrixView<Scalar> {
    let result = pass.workspace.matrix(rows: hidden.rows, columns: size)
    result.copy(hidden)
    for token in 0..<hidden.rows { Scalar.apply(activation, to: result[token]) }
    return result
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let tensors = tensors(pass.parameters)
    let hidden = pass.kept(rows: input.rows, columns: size)
    let h = entering(input, pass: pass)
    if !isParallel { h.copy(output) }
    pass.products.multiply(h, tensors.down.transposed, into: hidden)
    if let bias = tensors.downBias {
      for token in 0..<hidden.rows { Scalar.add(bias, times: 1, to: hidden[token]) }
    }
    pass.products.add(
      activated(hidden, pass: pass), tensors.up.transposed, scale: scale, to: output)
    if let bias = tensors.upBias {
      for token in 0..<output.rows { Scalar.add(bias, times: scale, to: output[token]) }
    }
  }

  /// `dU = s·Gᵀf(z)`, `du = s·Σ G`, with `Gz = s·(G·U)∘f′(z)`: `dD = Gzᵀh`, `dc = Σ Gz`; where h is the
  /// output, `G' = G + Gz·D`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let (tensors, sums) = (tensors(pass.parameters), tensors(gradients))
    let tokens = outputGradient.rows
    let hidden = pass.kept(rows: tokens, columns: size)
    pass.products.add(
      outputGradient.transposed, activated(hidden, pass: pass), scale: scale, to: sums.up)
    let inner = pass.workspace.matrix(rows: tokens, columns: size)
    pass.products.multiply(outputGradient, tensors.up, scale: scale, into: inner)
    for token in 0..<tokens {
      Scalar.multiply(inner[token], byDerivativeOf: activation, at: hidden[token])
      if let sum = sums.downBias { Scalar.add(inner[token], times: 1, to: sum) }
      if let sum = sums.upBias { Scalar.add(outputGradient[token], times: scale, to: sum) }
    }
    hidden.copy(inner)
    pass.products.add(hidden.transposed, entering(input, pass: pass), to: sums.down)
    if !isParallel { pass.products.add(hidden, tensors.down, to: outputGradient) }
  }

  /// Parallel: `dX += Gz·D`; `backward` left Gz in the place of z.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    guard isParallel else { return }
    let hidden = pass.kept(rows: inputGradient.rows, columns: size)
    pass.products.add(hidden, tensors(pass.parameters).down, to: inputGradient)
  }
}
