/// HRA: `W' = W0·Πⱼ (I − 2·uⱼ·uⱼᵀ/‖uⱼ‖²)`, from left to right; with `apply_GS` the u are made orthonormal
/// first.
///
/// Source: Yuan et al. 2024 (2405.17484). Arithmetic: directions in f64, rounded to f32; per row
/// the dot product in f64, then one fused multiply-add.
public struct HRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "HRA", names: ["hra"], peftTypes: ["HRA"],
    source: "Yuan et al. 2024 (2405.17484)", leaves: ["hra_u"],
    settings: ["apply_GS"], trainingSettings: ["r", "init_weights"])

  private let layer: LayerGeometry
  /// One direction of length 1 after the other.
  private let directions: [Float]

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let shape = try shapes.required("hra_u", dimensions: 2)
    try shapes.expect("hra_u", [layer?.inFeatures ?? shape[0], shape[1]])
    return ModuleSummary(
      rank: shape[1], trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    let isOrthogonalized = try module.settings.bool("apply_GS") ?? false
    let rank = summary.rank ?? 0
    let u = DenseMatrix(
      rows: module.layer.inFeatures, columns: rank, try module.tensor("hra_u").reals
    ).transposed
    var directions: [[Double]] = []
    for index in 0..<rank {
      var direction = Array(u.row(index))
      if isOrthogonalized {
        for other in directions {
          let overlap = zip(direction, other).reduce(0) { $0 + $1.0 * $1.1 }
          for index in direction.indices { direction[index] -= overlap * other[index] }
        }
      }
      let norm = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard norm > 0, norm.isFinite else {
        throw .values(leaf: "hra_u", reason: "have a column without a direction")
      }
      directions.append(direction.map { $0 / norm })
    }
    self.directions = directions.flatMap { $0.map { Float($0) } }
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    ReflectionUpdate(
      directions: directions, rows: layer.outFeatures, columns: layer.inFeatures)
  }
}

private struct ReflectionUpdate: RowwiseTransform {
  let directions: [Float]
  let rows: Int
  let columns: Int

  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
  ) {
    directions.withUnsafeBufferPointer { directions in
      for index in 0..<directions.count / columns {
        let direction = directions.row(index, columns: columns)
        let overlap = VectorArithmetic.dot(UnsafeBufferPointer(values), direction)
        values.addProduct(Float(-2 * overlap), direction)
      }
    }
  }
}
