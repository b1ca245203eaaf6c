/// PEANuT: `W' = W0 + s·B·X`, X a small network's image of the base: `X = f(A·W0)`, then encoders
/// `X ← f(E·X)`, then decoders `X ← f(D·X) + ` the input of the mirrored encoder.
///
/// Source: arXiv 2410.01870; files as PEFT. The network is computed in f64, with f's elementary functions our
/// own, and rounded to f32.
public struct PEANuT: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "PEANuT", names: ["peanut"], peftTypes: ["PEANUT"], source: "arXiv 2410.01870",
    roundedTwiceInPEFT: true,
    leaves: [
      "peanut_A.weight", "peanut_B.weight", "peanut_encoders.", "peanut_decoders.",
    ],
    settings: ["depth", "act_fn", "scaling"], trainingSettings: ["r", "init_weights"])

  private let network: Network
  private let b: [Float]
  private let scale: Float
  private let layer: LayerGeometry

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let a = try shapes.required("peanut_A.weight", dimensions: 2)
    let (rank, outputs) = (a[0], layer?.outFeatures ?? a[1])
    try shapes.expect("peanut_A.weight", [rank, outputs])
    try shapes.expect("peanut_B.weight", [outputs, rank])
    let depth = try settings.integer("depth") ?? 0
    for index in 0..<max(depth, 0) {
      try shapes.expect("peanut_encoders.\(index).weight", [rank, rank])
      try shapes.expect("peanut_decoders.\(index).weight", [rank, rank])
    }
    _ = try activation(settings)
    return ModuleSummary(
      rank: rank, scale: try settings.real("scaling") ?? 1,
      trainableParameters: shapes.elements(of: shapes.keys))
  }

  private static func activation(_ settings: MethodSettings) throws(MethodError) -> Activation {
    let name = try settings.text("act_fn") ?? "relu"
    guard let activation = Activation(rawValue: name) else {
      throw .setting(name: "act_fn", reason: "\(name) is not supported")
    }
    return activation
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    scale = Float(summary.scale ?? 1)
    b = try module.tensor("peanut_B.weight").reals
    let rank = summary.rank ?? 0
    func matrices(_ kind: String) throws(MethodError) -> [DenseMatrix] {
      var result: [DenseMatrix] = []
      for index in 0..<max(try module.settings.integer("depth") ?? 0, 0) {
        let leaf = "peanut_\(kind).\(index).weight"
        result.append(DenseMatrix(rows: rank, columns: rank, try module.tensor(leaf).reals))
      }
      return result
    }
    network = Network(
      a: DenseMatrix(
        rows: rank, columns: layer.outFeatures, try module.tensor("peanut_A.weight").reals),
      encoders: try matrices("encoders"), decoders: try matrices("decoders"),
      activation: try Self.activation(module.settings))
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    NetworkUpdate(
      network: network, b: b, scale: scale, rows: layer.outFeatures, columns: layer.inFeatures)
  }
}

private struct Network {
  let a: DenseMatrix
  let encoders: [DenseMatrix]
  let decoders: [DenseMatrix]
  let activation: PEANuT.Activation

  /// X, `rank × columns`.
  func image(of base: any RowSource) throws -> DenseMatrix {
    var x = activated(
      try base.products(withTransposed: a.transposed.values, rank: a.rows))
    var inputs: [DenseMatrix] = []
    for encoder in encoders {
      inputs.append(x)
      x = activated(encoder.multiplied(by: x))
    }
    for decoder in decoders {
      x = activated(decoder.multiplied(by: x))
      guard let input = inputs.popLast() else { break }
      for index in x.values.indices { x.values[index] += input.values[index] }
    }
    return x
  }

  private func activated(_ x: DenseMatrix) -> DenseMatrix {
    DenseMatrix(rows: x.rows, columns: x.columns, values: x.values.map(activation.callAsFunction))
  }
}

private struct NetworkUpdate: WeightUpdate {
  let network: Network
  let b: [Float]
  let scale: Float
  let rows: Int
  let columns: Int

  var form: UpdateForm { .additive }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    let x = try network.image(of: base)
    return LowRankUpdate(
      LowRankFactors(
        rank: x.rows, rows: rows, columns: columns, b: b, a: x.floats, scale: scale))
  }
}
