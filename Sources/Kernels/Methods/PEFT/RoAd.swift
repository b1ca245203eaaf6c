/// RoAd: `W' = R·W0`, bias' = R·bias, R turning pairs of outputs in their planes and stretching them.
///
/// In every group of g outputs, output q of the first half is paired with q + g/2:
/// `row'[q] = c[q]·row[q] − t[q]·row[q + g/2]`, `row'[q + g/2] = c[q + g/2]·row[q + g/2] + t[q + g/2]·row[q]`,
/// with c = α·cos θ and t = α·sin θ. `road_1` shares α and θ in a pair, `road_2` has one of each per
/// output, `road_4` has others for c than for t.
///
/// Source: Liao and Monz 2024 (2409.00119); files as PEFT, which rounds R to the type of the weight first.
/// Arithmetic: c and t in f64, rounded to f32; one product and one fused multiply-add per element.
public struct RoAd: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "RoAd", names: ["road_1", "road_2", "road_4"], peftTypes: ["ROAD"],
    source: "Liao and Monz 2024 (2409.00119)", roundedTwiceInPEFT: true,
    leaves: ["road_theta", "road_alpha"],
    settings: ["variant", "group_size"], trainingSettings: ["init_weights"])

  private enum Variant: String {
    case road1 = "road_1"
    case road2 = "road_2"
    case road4 = "road_4"
  }

  private let layer: LayerGeometry
  private let rotation: PairRotation

  private static func form(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> (variant: Variant, group: Int, outputs: Int) {
    guard let variant = Variant(rawValue: try settings.text("variant") ?? "road_1") else {
      throw .setting(name: "variant", reason: "must be road_1, road_2 or road_4")
    }
    let group = try settings.positive("group_size", default: 64)
    let count = try shapes.required("road_theta", dimensions: 1)[0]
    try shapes.expect("road_alpha", [count])
    let outputs: Int
    switch variant {
    case .road1: outputs = 2 * count
    case .road2: outputs = count
    case .road4: outputs = count / 2
    }
    guard group.isMultiple(of: 2), outputs.isMultiple(of: group) else {
      throw .setting(name: "group_size", reason: "must be even and divide \(outputs) outputs")
    }
    guard layer == nil || layer?.outFeatures == outputs else {
      throw .shape(
        leaf: "road_theta", found: [count],
        expected: "that of \(layer?.outFeatures ?? 0) outputs with \(variant.rawValue)")
    }
    return (variant, group, outputs)
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    _ = try form(shapes, settings: settings, layer: layer)
    return ModuleSummary(
      trainableParameters: shapes.elements(of: descriptor.leaves),
      changesBias: layer?.hasBias ?? true)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let (variant, group, outputs) = try Self.form(
      module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    let theta = try module.tensor("road_theta").reals
    let alpha = try module.tensor("road_alpha").reals
    guard theta.allSatisfy({ abs(Double($0)) <= ElementaryFunctions.largestAngle }) else {
      throw .values(leaf: "road_theta", reason: "hold an angle beyond 2²⁰, or none")
    }
    let half = group / 2
    var (cosines, sines) = ([Float](), [Float]())
    for output in 0..<outputs {
      let (place, first) = (output % group, output / group)
      // Where the angle and the length of this output's c and t stand.
      let (c, t): (Int, Int)
      switch variant {
      case .road1: (c, t) = (first * half + place % half, first * half + place % half)
      case .road2: (c, t) = (output, output)
      case .road4: (c, t) = (first * 2 * group + place, first * 2 * group + group + place)
      }
      cosines.append(
        Float(Double(alpha[c]) * ElementaryFunctions.sineAndCosine(Double(theta[c])).cosine))
      sines.append(
        Float(Double(alpha[t]) * ElementaryFunctions.sineAndCosine(Double(theta[t])).sine))
    }
    rotation = PairRotation(cosines: cosines, sines: sines, group: group)
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    RowPairUpdate(rotation: rotation, rows: layer.outFeatures, columns: layer.inFeatures)
  }

  public func biasUpdate() -> (any BiasUpdate)? { layer.hasBias ? rotation : nil }
}

/// R, by its diagonal and what stands beside it.
private struct PairRotation: BiasUpdate {
  let cosines: [Float]
  let sines: [Float]
  let group: Int

  /// The partner of output `index`, and the factor it comes with.
  func partner(of index: Int) -> (index: Int, factor: Float) {
    let half = group / 2
    return index % group < half ? (index + half, -sines[index]) : (index - half, sines[index])
  }

  func apply(to bias: inout [Float], weight: any RowSource) {
    let old = bias
    for index in bias.indices {
      let (other, factor) = partner(of: index)
      bias[index] = (cosines[index] * old[index]).addingProduct(factor, old[other])
    }
  }
}

private struct RowPairUpdate: WeightUpdate {
  let rotation: PairRotation
  let rows: Int
  let columns: Int

  var form: UpdateForm { .general }
  var rowGranularity: Int { rotation.group }

  func transform(_ band: RowBand, base: RowBand) {
    let half = rotation.group / 2
    var old = [Float](repeating: 0, count: columns)
    old.withUnsafeMutableBufferPointer { old in
      for row in band.rows where row % rotation.group < half {
        let (upper, lower) = (band[row], band[row + half])
        _ = old.update(fromContentsOf: upper)
        upper.multiply(by: rotation.cosines[row])
        upper.addProduct(rotation.partner(of: row).factor, UnsafeBufferPointer(lower))
        lower.multiply(by: rotation.cosines[row + half])
        lower.addProduct(rotation.partner(of: row + half).factor, UnsafeBufferPointer(old))
      }
    }
  }

  func transposed() -> (any WeightUpdate)? {
    ColumnPairUpdate(rotation: rotation, rows: columns, columns: rows)
  }
}

private struct ColumnPairUpdate: RowwiseTransform {
  let rotation: PairRotation
  let rows: Int
  let columns: Int

  var scratchCount: Int { columns }

  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
  ) {
    _ = scratch.update(fromContentsOf: values)
    for index in values.indices {
      let (other, factor) = rotation.partner(of: index)
      values[index] =
        (rotation.cosines[index] * scratch[index]).addingProduct(factor, scratch[other])
    }
  }
}
