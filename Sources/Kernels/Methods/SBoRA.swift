/// SBoRA: LoRA with one factor fixed to standard basis vectors.
///
/// FA fixes A: `W'[:, index[k]] += s·B[:, k]`, a few columns change. FB fixes B:
/// `W'[index[k], :] += s·A[k, :]`, a few rows change. Everything else keeps its bits.
public struct SBoRA: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "SBoRA", names: ["sbora-fa", "sbora-fb"], peftTypes: ["SBORA", "LORA"],
    source: "Po et al. 2024 (2407.05413)",
    leaves: ["sbora_A", "sbora_B", "lora_A.weight", "lora_B.weight"],
    frozenLeaves: ["sbora_index", "lora_A", "lora_B"],
    settings: ["r", "variant", "adapter_name", "lora_alpha"], patterns: LoRAFactors.patterns,
    trainingSettings: ["lora_dropout", "bias"],
    remark: "Reads the official fork's files, whose index is stored as `lora_A` or `lora_B`.")

  /// Which factor is fixed.
  private enum Variant {
    case fixedA
    case fixedB
  }

  private let layer: LayerGeometry
  private let variant: Variant
  private let leaf: String
  private let scale: Double
  /// r positions, of inputs for FA, of outputs for FB.
  private let indices: [Int]
  /// B, `out × r`, or A, `r × in`.
  private let factor: [Float]

  /// A LoRA file with an index in the place of one factor.
  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    shapes["sbora_index"] != nil || shapes["lora_A"]?.count == 1 || shapes["lora_B"]?.count == 1
  }

  private struct Form {
    var variant: Variant
    var index: String
    var factor: String
  }

  private static func form(
    _ shapes: [String: [Int]], settings: MethodSettings
  ) throws(MethodError) -> Form {
    if shapes["lora_A"] != nil {
      return Form(variant: .fixedA, index: "lora_A", factor: "lora_B.weight")
    }
    if shapes["lora_B"] != nil {
      return Form(variant: .fixedB, index: "lora_B", factor: "lora_A.weight")
    }
    switch try variant(settings) ?? (shapes["sbora_A"] == nil ? .fixedA : .fixedB) {
    case .fixedA: return Form(variant: .fixedA, index: "sbora_index", factor: "sbora_B")
    case .fixedB: return Form(variant: .fixedB, index: "sbora_index", factor: "sbora_A")
    }
  }

  private static func variant(_ settings: MethodSettings) throws(MethodError) -> Variant? {
    switch try settings.text("variant") {
    case nil: return nil
    case "FA": return .fixedA
    case "FB": return .fixedB
    case .some: throw .setting(name: "variant", reason: "must be FA or FB")
    }
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    if let layer, layer.kind != .linear { throw .layer(reason: "SBoRA needs a linear layer") }
    let form = try form(shapes, settings: settings)
    let rank = try shapes.required(form.index, dimensions: 1)[0]
    let found = try shapes.required(form.factor, dimensions: 2)
    switch form.variant {
    case .fixedA: try shapes.expect(form.factor, [layer?.outFeatures ?? found[0], rank])
    case .fixedB: try shapes.expect(form.factor, [rank, layer?.inFeatures ?? found[1]])
    }
    return ModuleSummary(
      rank: rank, scale: try scale(rank: rank, settings: settings),
      trainableParameters: found[0] * found[1])
  }

  /// `α/r`, 1 without α.
  private static func scale(rank: Int, settings: MethodSettings) throws(MethodError) -> Double {
    guard let alpha = try settings.real("lora_alpha"), rank > 0 else { return 1 }
    return alpha / Double(rank)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(
      module.shapes, settings: module.settings, layer: module.layer)
    let form = try Self.form(module.shapes, settings: module.settings)
    layer = module.layer
    variant = form.variant
    leaf = form.factor
    scale = summary.scale ?? 1
    factor = try module.tensor(form.factor).reals
    guard let indices = try module.tensor(form.index).integers else {
      throw .values(leaf: form.index, reason: "holds numbers that are no indices")
    }
    let count = variant == .fixedA ? layer.inFeatures : layer.outFeatures
    guard indices.allSatisfy({ (0..<count).contains($0) }) else {
      throw .values(leaf: form.index, reason: "holds an index outside 0..<\(count)")
    }
    guard Set(indices).count == indices.count else {
      throw .values(leaf: form.index, reason: "holds an index twice")
    }
    self.indices = indices
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let (rows, columns) = (layer.outFeatures, layer.inFeatures)
    switch variant {
    case .fixedA:
      return SparseColumnsUpdate(
        rows: rows, columns: columns, indices: indices, values: factor, scale: Float(scale))
    case .fixedB:
      return SparseRowsUpdate(
        rows: rows, columns: columns, indices: indices, values: factor, scale: Float(scale))
    }
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let rank = try settings.positive("r", default: 8)
    let index = MethodTensor("sbora_index", [rank], isTrained: false)
    switch try variant(settings) ?? .fixedA {
    case .fixedA:
      guard rank <= layer.inFeatures else {
        throw .setting(name: "r", reason: "exceeds the layer's \(layer.inFeatures) inputs")
      }
      return [index, MethodTensor("sbora_B", [layer.outFeatures, rank])]
    case .fixedB:
      guard rank <= layer.outFeatures else {
        throw .setting(name: "r", reason: "exceeds the layer's \(layer.outFeatures) outputs")
      }
      return [index, MethodTensor("sbora_A", [rank, layer.inFeatures])]
    }
  }

  /// The factor is 0; the indices are drawn without replacement, in ascending order.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    var result = try startingTensors(start) { _ in 0 }
    let rank = try start.settings.positive("r", default: 8)
    let count =
      result["sbora_B"] != nil ? start.layer.inFeatures : start.layer.outFeatures
    result["sbora_index"] = AdapterTensor(
      shape: [rank], values: .integer(generator.permutation(count, first: rank).sorted()))
    return result
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    switch variant {
    case .fixedA:
      return SelectedInputsLayer<Scalar>(
        outFeatures: layer.outFeatures, indices: indices, scale: Scalar(scale), leaf: leaf)
    case .fixedB:
      return SelectedOutputsLayer<Scalar>(
        inFeatures: layer.inFeatures, indices: indices, scale: Scalar(scale), leaf: leaf)
    }
  }
}

/// SBoRA-FA on one linear layer: `y = W0·x + b0 + s·B·x[I]`.
///
/// Kept: the selected inputs, tokens × r.
struct SelectedInputsLayer<Scalar: TrainingScalar>: AdapterLayer {
  let outFeatures: Int
  let indices: [Int]
  let scale: Scalar
  let leaf: String

  private var rank: Int { indices.count }
  var parameters: [TrainableTensor] { [TrainableTensor(leaf, [outFeatures, rank])] }
  var needsInput: Bool { false }
  func keptCount(tokens: Int) -> Int { tokens * rank }

  private func b(_ view: ParameterView<Scalar>) -> MatrixView<Scalar> {
    view.matrix(rows: outFeatures, columns: rank)
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let selected = pass.kept(rows: input.rows, columns: rank)
    for token in 0..<input.rows {
      Scalar.gather(input[token], at: indices, into: selected[token])
    }
    pass.products.add(selected, b(pass.parameters).transposed, scale: scale, to: output)
  }

  /// `dB = s·Gᵀ·X[:, I]`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let selected = pass.kept(rows: outputGradient.rows, columns: rank)
    pass.products.add(outputGradient.transposed, selected, scale: scale, to: b(gradients))
    pass.products.multiply(outputGradient, b(pass.parameters), scale: scale, into: selected)
  }

  /// `dX[:, I] += s·G·B`; `backward` left it in the place of the selected inputs.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let selected = pass.kept(rows: inputGradient.rows, columns: rank)
    for token in 0..<inputGradient.rows {
      Scalar.scatter(selected[token], times: 1, to: inputGradient[token], at: indices)
    }
  }
}

/// SBoRA-FB on one linear layer: `y = W0·x + b0`, then `y[I] += s·A·x`.
///
/// Kept: the selected output gradients, tokens × r, from `backward` for dX.
struct SelectedOutputsLayer<Scalar: TrainingScalar>: AdapterLayer {
  let inFeatures: Int
  let indices: [Int]
  let scale: Scalar
  let leaf: String

  private var rank: Int { indices.count }
  var parameters: [TrainableTensor] { [TrainableTensor(leaf, [rank, inFeatures])] }
  func keptCount(tokens: Int) -> Int { tokens * rank }

  private func a(_ view: ParameterView<Scalar>) -> MatrixView<Scalar> {
    view.matrix(rows: rank, columns: inFeatures)
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let product = pass.workspace.matrix(rows: input.rows, columns: rank)
    pass.products.multiply(input, a(pass.parameters).transposed, into: product)
    for token in 0..<input.rows {
      Scalar.scatter(product[token], times: scale, to: output[token], at: indices)
    }
  }

  /// `dA = s·G[:, I]ᵀ·X`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let selected = pass.kept(rows: outputGradient.rows, columns: rank)
    for token in 0..<outputGradient.rows {
      Scalar.gather(outputGradient[token], at: indices, into: selected[token])
    }
    pass.products.add(selected.transposed, input, scale: scale, to: a(gradients))
  }

  /// `dX += s·G[:, I]·A`.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    pass.products.add(
      pass.kept(rows: inputGradient.rows, columns: rank), a(pass.parameters), scale: scale,
      to: inputGradient)
  }
}
