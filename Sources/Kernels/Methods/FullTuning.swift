/// Full fine-tuning: `W' = W0 + Δ`, Δ trained whole, in the shape that the weight is stored in.
public struct FullTuning: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "Full fine-tuning", names: ["full"], peftTypes: ["FULL"],
    source: "gradient descent on every weight", leaves: ["full_delta"], settings: [],
    remark: "The file holds the difference to the base.")

  private let layer: LayerGeometry
  /// Δ as stored.
  private let delta: [Float]

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let found = try shapes.required("full_delta")
    try shapes.expect("full_delta", layer?.shape ?? found)
    return ModuleSummary(trainableParameters: found.reduce(1, *))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    delta = try module.tensor("full_delta").reals
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let (rows, columns) = (layer.outFeatures, layer.inFeatures)
    return DenseUpdate(
      rows: rows, columns: columns,
      values: layer.storedTransposed ? transpose(delta, rows: columns, columns: rows) : delta)
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] { [MethodTensor("full_delta", layer.shape)] }

  /// Δ = 0.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    try startingTensors(start) { _ in 0 }
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    guard layer.kind == .linear else { throw .layer(reason: "training needs a linear layer") }
    return FullTuningLayer<Scalar>(
      inFeatures: layer.inFeatures, outFeatures: layer.outFeatures,
      isTransposed: layer.storedTransposed)
  }
}

/// Full fine-tuning of one linear layer: `y = (W0 + Δ)·x + b0`.
struct FullTuningLayer<Scalar: TrainingScalar>: AdapterLayer {
  let inFeatures: Int
  let outFeatures: Int
  /// Δ lies `in × out`.
  let isTransposed: Bool

  private var shape: [Int] {
    isTransposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures]
  }
  var parameters: [TrainableTensor] { [TrainableTensor("full_delta", shape)] }

  /// Δ as it lies.
  private func stored(_ view: ParameterView<Scalar>) -> MatrixView<Scalar> {
    view.matrix(rows: shape[0], columns: shape[1])
  }

  /// Δ, `out × in`.
  private func delta(_ view: ParameterView<Scalar>) -> MatrixView<Scalar> {
    isTransposed ? stored(view).transposed : stored(view)
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    pass.products.add(input, delta(pass.parameters).transposed, to: output)
  }

  /// `dΔ = GᵀX`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    if isTransposed {
      pass.products.add(input.transposed, outputGradient, to: stored(gradients))
    } else {
      pass.products.add(outputGradient.transposed, input, to: stored(gradients))
    }
  }

  /// `dX += G·Δ`.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    pass.products.add(outputGradient, delta(pass.parameters), to: inputGradient)
  }
}
