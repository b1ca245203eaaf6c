/// 1LoRA: `W' = W0 + b·1ᵀ`, one trained number per row; with a learned or random compression a,
/// `W' = W0 + b·aᵀ`. With β (`train_bias`) and γ (`train_scale`) besides:
/// `W' = diag(γ)·(W0 + b·aᵀ)`, `bias' = γ∘(bias + β)`.
public struct OneLoRA: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "1LoRA", names: ["1lora"], peftTypes: ["ONELORA"],
    source: "1LoRA: Summation Compression for Very Low-Rank Adaptation (2503.08333), equation 1",
    leaves: ["onelora_b", "b", "onelora_a", "bitfit_bias", "difffit_scale"],
    ignoredLeaves: ["linear.weight", "linear.bias"],
    settings: ["compression", "train_bias", "train_scale", "train_norms"],
    remark: "One addition per element; the paper's listing (`b` beside `linear`) is read too.")

  private let layer: LayerGeometry
  private let compression: Compression
  /// What the file calls b.
  private let leaf: String
  /// b, `out`.
  private let b: [Float]
  /// a, `in`; nil for the sum.
  private let a: [Float]?
  private let change: BiasChange

  enum Compression: String {
    /// a = 1.
    case sum
    /// a is trained, from 1.
    case learned
    /// a is random and frozen.
    case random
  }

  private static func compression(
    _ settings: MethodSettings
  ) throws(MethodError) -> Compression {
    guard let text = try settings.text("compression") else { return .sum }
    guard let compression = Compression(rawValue: text) else {
      throw .setting(name: "compression", reason: "must be sum, learned or random")
    }
    return compression
  }

  /// b under our name or under that of the paper's listing.
  private static func bLeaf(_ shapes: [String: [Int]]) -> String {
    shapes["onelora_b"] == nil && shapes["b"] != nil ? "b" : "onelora_b"
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let compression = try compression(settings)
    if let layer, layer.kind != .linear, layer.kind != .convolution {
      throw .layer(reason: "1LoRA needs a linear layer")
    }
    let leaf = bLeaf(shapes)
    let found = try shapes.required(leaf)
    let out = layer?.outFeatures ?? found.reduce(1, *)
    try shapes.expectVector(leaf, count: out)
    if compression == .sum {
      guard shapes["onelora_a"] == nil else {
        throw .setting(name: "compression", reason: "must say what onelora_a is: learned or random")
      }
    } else {
      let found = try shapes.required("onelora_a", dimensions: 1)
      try shapes.expect("onelora_a", [layer?.inFeatures ?? found[0]])
    }
    for leaf in ["bitfit_bias", "difffit_scale"] where shapes[leaf] != nil {
      try shapes.expectVector(leaf, count: out)
    }
    var trained = shapes.elements(of: [leaf, "bitfit_bias", "difffit_scale"])
    if compression == .learned { trained += shapes.elements(of: ["onelora_a"]) }
    let changesBias =
      shapes["bitfit_bias"] != nil || (shapes["difffit_scale"] != nil && layer?.hasBias ?? true)
    return ModuleSummary(
      rank: 1, scale: 1, trainableParameters: trained, changesBias: changesBias)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let shapes = module.shapes
    _ = try Self.examine(shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    compression = try Self.compression(module.settings)
    leaf = Self.bLeaf(shapes)
    b = try module.tensor(leaf).reals
    a = module.tensors["onelora_a"]?.reals
    change = BiasChange(
      addend: module.tensors["bitfit_bias"]?.reals, factor: module.tensors["difffit_scale"]?.reals)
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let update: any WeightUpdate
    if let a {
      update = LowRankUpdate(
        LowRankFactors(rank: 1, rows: b.count, columns: a.count, b: b, a: a, scale: 1))
    } else {
      update = RowConstantUpdate(b, columns: layer.inFeatures)
    }
    guard let factor = change.factor else { return update }
    return ScaledRowsUpdate(factors: factor, change: update)
  }

  public func biasUpdate() -> (any BiasUpdate)? {
    guard change.addend != nil || (change.factor != nil && layer.hasBias) else { return nil }
    return change
  }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let out = layer.outFeatures
    let compression = try compression(settings)
    var tensors = [MethodTensor("onelora_b", [out])]
    if compression != .sum {
      tensors.append(
        MethodTensor("onelora_a", [layer.inFeatures], isTrained: compression == .learned))
    }
    if try settings.bool("train_bias") ?? false {
      tensors.append(MethodTensor("bitfit_bias", [out]))
    }
    if try settings.bool("train_scale") ?? false {
      tensors.append(MethodTensor("difffit_scale", [out]))
    }
    return tensors
  }

  /// b = 0, β = 0, γ = 1; a = 1 where it is learned, normal with deviation 1 where it is random.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    var result = try startingTensors(start) {
      $0.leaf == "onelora_a" || $0.leaf == "difffit_scale" ? 1 : 0
    }
    if try compression(start.settings) == .random {
      let count = start.layer.inFeatures
      result["onelora_a"] = AdapterTensor(shape: [count], generator.normal(count))
    }
    return result
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    guard layer.kind == .linear else { throw .layer(reason: "training needs a linear layer") }
    let compression: RowwiseLayer<Scalar>.Compression =
      switch self.compression {
      case .sum: .sum
      case .learned: .learned
      case .random: .frozen(FrozenMatrix(widening: a ?? [], rows: 1, columns: layer.inFeatures))
      }
    return RowwiseLayer<Scalar>(
      inFeatures: layer.inFeatures, outFeatures: layer.outFeatures, leaf: leaf,
      compression: compression, bias: change.addend == nil ? nil : "bitfit_bias",
      scale: change.factor == nil ? nil : "difffit_scale")
  }
}
