/// SHiRA: `W' = W0 + S`, S sparse with trained values in fixed places.
///
/// Source: Bhardwaj et al. 2024 (2406.13175); files as PEFT.
public struct SHiRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "SHiRA", names: ["shira"], peftTypes: ["SHIRA"],
    source: "Bhardwaj et al. 2024 (2406.13175)", leaves: ["shira_weight"],
    frozenLeaves: ["shira_indices"], settings: ["fan_in_fan_out"],
    trainingSettings: ["r", "mask_type", "random_seed", "init_weights"])

  private let update: SparseElements

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = try shapes.required("shira_weight", dimensions: 1)[0]
    try shapes.expect("shira_indices", [2, count])
    return ModuleSummary(trainableParameters: count)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let layer = module.layer
    guard let indices = try module.tensor("shira_indices").integers else {
      throw .values(leaf: "shira_indices", reason: "are not integers")
    }
    let values = try module.tensor("shira_weight").reals
    let places = values.indices.map { (row: indices[$0], column: indices[values.count + $0]) }
    let isInside = places.allSatisfy {
      (0..<layer.outFeatures).contains($0.row) && (0..<layer.inFeatures).contains($0.column)
    }
    guard isInside else {
      throw .values(
        leaf: "shira_indices",
        reason: "point outside a weight of \(layer.outFeatures) × \(layer.inFeatures)")
    }
    update = SparseElements(
      rows: layer.outFeatures, columns: layer.inFeatures, places: places, values: values)
  }

  public func weightUpdate() -> (any WeightUpdate)? { update }
}
