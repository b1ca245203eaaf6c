/// (IA)³: `W' = diag(l)·W0`, bias' = l∘bias; in feed-forward layers `W' = W0·diag(l)`.
///
/// Source: Liu et al. 2022 (2205.05638), section 3.3; files as PEFT.
public struct IA3: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "(IA)³", names: ["ia3"], peftTypes: ["IA3"],
    source: "Liu et al. 2022 (2205.05638), section 3.3", leaves: ["ia3_l"],
    settings: ["feedforward_modules", "fan_in_fan_out"], trainingSettings: ["init_ia3_weights"])

  let layer: LayerGeometry
  private let factors: [Float]
  let scalesInputs: Bool

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let scalesInputs = try scalesInputs(shapes, settings: settings, layer: layer)
    return ModuleSummary(
      trainableParameters: shapes.elements(of: descriptor.leaves),
      changesBias: !scalesInputs && layer?.hasBias ?? true)
  }

  /// Whether l scales columns. A linear layer's l is (out, 1) or (1, in); a convolution's is
  /// (1, channels, 1…) in both cases, and where the channels do not tell, `feedforward_modules` does.
  private static func scalesInputs(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> Bool {
    let shape = try shapes.required("ia3_l")
    try shapes.expectVector("ia3_l", count: shape.reduce(1, *))
    let count = shape.reduce(1, *)
    guard let layer else { return shape.count == 2 && shape[0] == 1 }
    switch layer.kind {
    case .linear:
      let fits = (shape == [layer.outFeatures, 1], shape == [1, layer.inFeatures])
      if fits == (true, true) { return isFeedForward(layer.module, settings) }
      guard fits.0 || fits.1 else {
        throw .shape(
          leaf: "ia3_l", found: shape,
          expected: "[\(layer.outFeatures), 1] or [1, \(layer.inFeatures)]")
      }
      return fits.1
    case .convolution:
      let fits = (
        count == layer.outFeatures, layer.shape[1] > 0 && count.isMultiple(of: layer.shape[1])
      )
      guard fits.0 || fits.1 else {
        throw .shape(leaf: "ia3_l", found: shape, expected: "one per output or input channel")
      }
      return fits == (true, true) ? isFeedForward(layer.module, settings) : fits.1
    case .embedding, .normalization, .parameter:
      throw .layer(reason: "(IA)³ needs a linear layer or a convolution")
    }
  }

  /// PEFT's rule: a string is a regular expression for the whole name, an item of a list is an end
  /// of the name, with or without a dot before it.
  static func isFeedForward(_ module: String, _ settings: MethodSettings) -> Bool {
    switch settings["feedforward_modules"] {
    case .text(let pattern):
      return (try? Regex(pattern).wholeMatch(in: module)) != nil
    case .list(let names):
      return names.contains {
        if case .text(let name) = $0 { module.hasSuffix(name) } else { false }
      }
    default:
      return false
    }
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    scalesInputs = try Self.scalesInputs(
      module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    factors = try module.tensor("ia3_l").reals
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    guard scalesInputs else {
      return ScaledRowsUpdate(factors: factors, columns: layer.inFeatures)
    }
    guard layer.kind == .convolution else {
      return ScaledRowsUpdate(factors: factors, columns: layer.outFeatures).transposed()
    }
    return ChannelScaling(layer: layer, factors: factors)
  }

  public func biasUpdate() -> (any BiasUpdate)? {
    scalesInputs || !layer.hasBias ? nil : BiasChange(factor: factors)
  }
}

/// Factors for the input channels of a convolution: the kernel of a channel shares one, and a group
/// of output channels sees its own input channels only.
private struct ChannelScaling: WeightUpdate {
  let layer: LayerGeometry
  let factors: [Float]

  var rows: Int { layer.outFeatures }
  var columns: Int { layer.inFeatures }
  private var channels: Int { layer.shape[1] }
  private var groups: Int { factors.count / channels }
  var form: UpdateForm { .scaled(groups == 1 ? .perColumn : .perElement) }

  func addDelta(to delta: RowBand, scale: Float) {}

  func fillFactors(
    base: RowBand, delta: RowBand, factors result: UnsafeMutableBufferPointer<Float>
  ) {
    let kernel = columns / channels
    if groups == 1 {
      for column in 0..<columns { result[column] = factors[column / kernel] }
      return
    }
    for (position, row) in base.rows.enumerated() {
      let first = row / (rows / groups) * channels
      for column in 0..<columns {
        result[position * columns + column] = factors[first + column / kernel]
      }
    }
  }
}
