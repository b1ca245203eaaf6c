/// LoRA and rsLoRA: `W' = W0 + s·B·A`, `s = α/r`, with rsLoRA `s = α/√r`.
///
/// Source: Hu et al. 2021, equation 3; Kalajdzievski 2023 (rsLoRA); files as PEFT.
public struct LoRA: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "LoRA", names: ["lora", "rslora"], peftTypes: ["LORA"],
    source: "Hu et al. 2021 (2106.09685), equation 3; rsLoRA: Kalajdzievski 2023 (2312.03732)",
    leaves: [
      "lora_A.weight", "lora_B.weight", "lora_B.bias", "lora_embedding_A", "lora_embedding_B",
    ],
    ignoredLeaves: ["lora_velora_embed", "lora_monteclora_sampler."],
    settings: LoRAFactors.settings, patterns: LoRAFactors.patterns,
    trainingSettings: LoRAFactors.trainingSettings,
    remark:
      "Embeddings, convolutions, and parameters with or without a stack of experts included; "
      + "of embeddings and parameters PEFT rounds the change first."
  )

  private let factors: LoRAFactors
  private let layer: LayerGeometry
  /// `lora_B.bias`, `out`; nil without `lora_bias`.
  private let bias: [Float]?

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let form = try LoRAFactors.Form(shapes, settings: settings, layer: layer)
    if shapes["lora_B.bias"] != nil { try shapes.expect("lora_B.bias", [form.outFeatures]) }
    return ModuleSummary(
      rank: form.rank, scale: form.scale,
      trainableParameters: shapes.elements(of: descriptor.leaves),
      changesBias: shapes["lora_B.bias"] != nil,
      notMergeable: try LoRAFactors.refusal(settings))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    factors = try LoRAFactors(module)
    layer = module.layer
    if let tensor = module.tensors["lora_B.bias"] {
      try module.shapes.expect("lora_B.bias", [factors.form.outFeatures])
      bias = tensor.reals
    } else {
      bias = nil
    }
    if let reason = try LoRAFactors.refusal(module.settings) { throw .notMergeable(reason: reason) }
  }

  public func weightUpdate() -> (any WeightUpdate)? { factors.weightUpdate() }

  public func biasUpdate() -> (any BiasUpdate)? {
    bias.map { BiasChange(addend: $0.map { Float(factors.form.scale) * $0 }) }
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    var tensors = try LoRAFactors.tensors(layer: layer, settings: settings)
    if try settings.bool("lora_bias") ?? false {
      tensors.append(MethodTensor("lora_B.bias", [layer.outFeatures]))
    }
    return tensors
  }

  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws -> [String: AdapterTensor] {
    try LoRAFactors.initialTensors(start, generator: &generator)
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    guard layer.kind == .linear else { throw .layer(reason: "training needs a linear layer") }
    return LoRALayer<Scalar>(
      inFeatures: layer.inFeatures, outFeatures: layer.outFeatures, rank: factors.form.rank,
      scale: Scalar(factors.form.scale), trainsBias: bias != nil)
  }
}

/// LoRA on one linear layer: `y = W0·x + b0 + s·(B·(A·x) + β)`; one of A, B may be frozen.
///
/// Kept: `X·Aᵀ`, tokens × r. Where A is frozen X itself is not needed.
struct LoRALayer<Scalar: TrainingScalar>: AdapterLayer {
  enum Frozen {
    case none
    case a(FrozenMatrix<Scalar>)
    case b(FrozenMatrix<Scalar>)
  }

  let inFeatures: Int
  let outFeatures: Int
  let rank: Int
  let scale: Scalar
  var trainsBias = false
  var frozen = Frozen.none

  private var trainsA: Bool { if case .a = frozen { false } else { true } }
  private var trainsB: Bool { if case .b = frozen { false } else { true } }

  /// A and B are trained, and nothing else.
  var trainsBothFactors: Bool { trainsA && trainsB && !trainsBias }

  var parameters: [TrainableTensor] {
    (trainsA ? [TrainableTensor("lora_A.weight", [rank, inFeatures])] : [])
      + (trainsB ? [TrainableTensor("lora_B.weight", [outFeatures, rank])] : [])
      + (trainsBias ? [TrainableTensor("lora_B.bias", [outFeatures])] : [])
  }

  var needsInput: Bool { trainsA }
  func keptCount(tokens: Int) -> Int { tokens * rank }

  /// A, r × in, where it is trained.
  private func a(_ view: ParameterView<Scalar>) -> MatrixView<Scalar> {
    view.matrix(rows: rank, columns: inFeatures)
  }

  /// B, out × r, where it is trained.
  private func b(_ view: ParameterView<Scalar>) -> MatrixView<Scalar> {
    view.matrix(at: trainsA ? rank * inFeatures : 0, rows: outFeatures, columns: rank)
  }

  private func bias(_ view: ParameterView<Scalar>) -> Row<Scalar> {
    view.vector(
      at: (trainsA ? rank * inFeatures : 0) + (trainsB ? rank * outFeatures : 0),
      count: outFeatures)
  }

  /// Calls `body` with A and B.
  private func withFactors(
    _ view: ParameterView<Scalar>, _ body: (MatrixView<Scalar>, MatrixView<Scalar>) -> Void
  ) {
    switch frozen {
    case .none: body(a(view), b(view))
    case .a(let matrix): matrix.withMatrix { body($0, b(view)) }
    case .b(let matrix): matrix.withMatrix { body(a(view), $0) }
    }
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let hidden = pass.kept(rows: input.rows, columns: rank)
    withFactors(pass.parameters) { a, b in
      pass.products.multiply(input, a.transposed, into: hidden)
      pass.products.add(hidden, b.transposed, scale: scale, to: output)
    }
    if trainsBias {
      let bias = bias(pass.parameters)
      for token in 0..<output.rows { Scalar.add(bias, times: scale, to: output[token]) }
    }
  }

  /// `dB = s·Gᵀ(XAᵀ)`, `dA = s·(GB)ᵀX`, `dβ = s·Σ G`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let hidden = pass.kept(rows: input.rows, columns: rank)
    withFactors(pass.parameters) { _, b in
      if trainsB {
        pass.products.add(
          outputGradient.transposed, hidden, scale: scale, to: self.b(gradients))
      }
      pass.products.multiply(outputGradient, b, scale: scale, into: hidden)
      if trainsA { pass.products.add(hidden.transposed, input, to: a(gradients)) }
    }
    if trainsBias {
      let sum = bias(gradients)
      for token in 0..<outputGradient.rows {
        Scalar.add(outputGradient[token], times: scale, to: sum)
      }
    }
  }

  /// `dX += s·(GB)·A`; `backward` left `s·GB` in the place of `XAᵀ`.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let hidden = pass.kept(rows: inputGradient.rows, columns: rank)
    withFactors(pass.parameters) { a, _ in pass.products.add(hidden, a, to: inputGradient) }
  }
}
