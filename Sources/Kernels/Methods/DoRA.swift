/// DoRA: `W' = diag(m/n)·(W0 + s·B·A)`, n the norms of the rows of `W0 + s·B·A`.
///
/// One magnitude per output feature: per row of a linear layer or convolution, per column of an
/// embedding (`tokens × dim`) or of a weight stored `in × out`.
///
/// Source: Liu et al. 2024 (2402.09353), equation 5; equation 11 for the gradient with n held constant.
public struct DoRA: TrainableMethod {
  /// PEFT's name of m, the official fork's, and that of its vision-language variant.
  static let magnitudeLeaves = [
    "lora_magnitude_vector", "weight_m_wdecomp.weight", "weight_m",
  ]

  public static let descriptor = MethodDescriptor(
    title: "DoRA", names: ["dora"], peftTypes: ["LORA", "DORA"],
    source: "Liu et al. 2024 (2402.09353), equations 5 and 11",
    leaves: [
      "lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B",
    ] + magnitudeLeaves,
    ignoredLeaves: LoRA.descriptor.ignoredLeaves,
    settings: LoRAFactors.settings + ["dora_simple", "Wdecompose_target_modules"],
    patterns: LoRAFactors.patterns, trainingSettings: LoRAFactors.trainingSettings,
    remark: "A module with a magnitude and no factors scales its rows to that magnitude.")

  private let layer: LayerGeometry
  private let leaf: String
  /// m: one per output feature, of an embedding one per column.
  private let magnitude: [Float]
  /// nil where the magnitude alone is trained.
  private let factors: LoRAFactors?
  private let isDetached: Bool

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    magnitudeLeaves.contains { shapes[$0] != nil } || settings["use_dora"] == .bool(true)
  }

  private static func magnitudeLeaf(_ shapes: [String: [Int]]) throws(MethodError) -> String {
    guard let leaf = magnitudeLeaves.first(where: { shapes[$0] != nil }) else {
      throw .missingTensor(leaf: magnitudeLeaves[0])
    }
    return leaf
  }

  private static func hasFactors(_ shapes: [String: [Int]]) -> Bool {
    shapes.keys.contains { $0.hasPrefix("lora_A") || $0.hasPrefix("lora_embedding_A") }
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let leaf = try magnitudeLeaf(shapes)
    guard hasFactors(shapes) else {
      let found = try shapes.required(leaf).reduce(1, *)
      try shapes.expectVector(leaf, count: layer?.outFeatures ?? found)
      return ModuleSummary(trainableParameters: found)
    }
    let form = try LoRAFactors.Form(shapes, settings: settings, layer: layer)
    if case .experts = form.placement {
      throw .layer(reason: "DoRA has no form for a stack of experts")
    }
    if shapes["lora_B.bias"] != nil {
      throw .setting(name: "lora_bias", reason: "cannot be combined with DoRA")
    }
    try shapes.expectVector(leaf, count: form.outFeatures)
    return ModuleSummary(
      rank: form.rank, scale: form.scale,
      trainableParameters: shapes.elements(of: descriptor.leaves),
      notMergeable: try LoRAFactors.refusal(settings))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let shapes = module.shapes
    let summary = try Self.examine(shapes, settings: module.settings, layer: module.layer)
    if let reason = summary.notMergeable { throw .notMergeable(reason: reason) }
    layer = module.layer
    leaf = try Self.magnitudeLeaf(shapes)
    magnitude = try module.tensor(leaf).reals
    factors = Self.hasFactors(shapes) ? try LoRAFactors(module) : nil
    isDetached = try module.settings.bool("dora_simple") ?? true
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let isEmbedding = factors?.form.placement == .embedding
    return MagnitudeUpdate(
      magnitude: magnitude, change: factors?.weightUpdate(),
      rows: layer.outFeatures, columns: layer.inFeatures,
      axis: isEmbedding ? .perColumn : .perRow)
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let count = layer.kind == .embedding ? layer.inFeatures : layer.outFeatures
    return try LoRAFactors.tensors(layer: layer, settings: settings) + [
      MethodTensor("lora_magnitude_vector", [count])
    ]
  }

  /// A and B as LoRA's, m the norms of the rows of `W0 + s·B·A`.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws -> [String: AdapterTensor] {
    var result = try LoRAFactors.initialTensors(start, generator: &generator)
    let factors = try LoRAFactors(
      AdapterModule(layer: start.layer, settings: start.settings, tensors: result))
    let update = MagnitudeUpdate(
      magnitude: [], change: factors.weightUpdate(), rows: start.layer.outFeatures,
      columns: start.layer.inFeatures, axis: .perRow)
    let norms = try update.norms(reading: start.weight)
    result["lora_magnitude_vector"] = AdapterTensor(shape: [norms.count], norms)
    return result
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    guard layer.kind == .linear, let factors else {
      throw .layer(reason: "training needs a linear layer with factors")
    }
    return DoRALayer<Scalar>(
      branch: MagnitudeBranch(
        inFeatures: layer.inFeatures, outFeatures: layer.outFeatures, rank: factors.form.rank,
        scale: Scalar(factors.form.scale), isDetached: isDetached),
      leaf: leaf)
  }
}

/// DoRA on one linear layer.
struct DoRALayer<Scalar: TrainingScalar>: AdapterLayer {
  let branch: MagnitudeBranch<Scalar>
  var scalesBias: Bool { false }
  /// What the file calls m.
  let leaf: String

  var parameters: [TrainableTensor] {
    [
      TrainableTensor("lora_A.weight", [branch.rank, branch.inFeatures]),
      TrainableTensor("lora_B.weight", [branch.outFeatures, branch.rank]),
      TrainableTensor(leaf, [branch.outFeatures]),
    ]
  }

  var derivedCount: Int { branch.derivedCount }
  func keptCount(tokens: Int) -> Int { branch.keptCount(tokens: tokens) }

  private func factors(_ view: ParameterView<Scalar>) -> MagnitudeBranch<Scalar>.Factors {
    let aCount = branch.rank * branch.inFeatures
    let bCount = branch.rank * branch.outFeatures
    return MagnitudeBranch.Factors(
      a: view.matrix(rows: branch.rank, columns: branch.inFeatures),
      b: view.matrix(at: aCount, rows: branch.outFeatures, columns: branch.rank),
      magnitude: view.vector(at: aCount + bCount, count: branch.outFeatures))
  }

  func derive(_ pass: LayerPass<Scalar>) {
    branch.derive(factors(pass.parameters), into: pass.derived, pass: pass)
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    branch.forward(
      input, output: output, factors: factors(pass.parameters), derived: pass.derived, pass: pass)
  }

  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    branch.backward(
      outputGradient, input: input, factors: factors(pass.parameters),
      gradients: factors(gradients), derived: pass.derived, pass: pass)
  }

  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    branch.addInputGradient(
      to: inputGradient, outputGradient: outputGradient, factors: factors(pass.parameters),
      derived: pass.derived, pass: pass)
  }
}
