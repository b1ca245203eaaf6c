/// Super-Tuning: `W' = W0 + S`, S sparse in the places of the largest (or smallest) magnitudes of W0; with `r`
/// ("Supra") also `+ (α/r)·B·A`.
///
/// Source: arXiv 2607.09287; files as PEFT. Places that are not stored are found again; where equal
/// magnitudes leave them open the merge is refused.
public struct SuperTuning: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "Super-Tuning", names: ["supertuning"], peftTypes: ["SUPERTUNING"],
    source: "arXiv 2607.09287",
    roundedTwiceInPEFT: true,
    leaves: [
      "supertuning_values", "supertuning_lora_A.weight", "supertuning_lora_B.weight",
    ],
    frozenLeaves: ["supertuning_indices"], settings: ["select_top", "r", "lora_alpha"],
    trainingSettings: [
      "sparsity", "lora_dropout", "init_weights", "save_precomputed_indices",
    ])

  private let layer: LayerGeometry
  private let values: [Float]
  /// nil where they are to be found in the base.
  private let indices: [Int]?
  private let takesLargest: Bool
  private let factors: LowRankFactors?

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = try shapes.required("supertuning_values", dimensions: 1)[0]
    if shapes["supertuning_indices"] != nil { try shapes.expect("supertuning_indices", [count]) }
    if let layer, count > layer.outFeatures * layer.inFeatures {
      throw .shape(
        leaf: "supertuning_values", found: [count],
        expected: "at most \(layer.outFeatures * layer.inFeatures)")
    }
    var summary = ModuleSummary(trainableParameters: shapes.elements(of: descriptor.leaves))
    if shapes["supertuning_lora_A.weight"] != nil {
      let a = try shapes.required("supertuning_lora_A.weight", dimensions: 2)
      let b = try shapes.required("supertuning_lora_B.weight", dimensions: 2)
      try shapes.expect("supertuning_lora_A.weight", [a[0], layer?.inFeatures ?? a[1]])
      try shapes.expect("supertuning_lora_B.weight", [layer?.outFeatures ?? b[0], a[0]])
      summary.rank = a[0]
      guard let alpha = try settings.real("lora_alpha") else {
        throw .setting(name: "lora_alpha", reason: "is missing")
      }
      summary.scale = a[0] == 0 ? 0 : alpha / Double(a[0])
    }
    return summary
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let (rows, columns) = (module.layer.outFeatures, module.layer.inFeatures)
    layer = module.layer
    values = try module.tensor("supertuning_values").reals
    takesLargest = try module.settings.bool("select_top") ?? true
    if let tensor = module.tensors["supertuning_indices"] {
      guard let found = tensor.integers,
        found.allSatisfy({ (0..<rows * columns).contains($0) })
      else {
        throw .values(leaf: "supertuning_indices", reason: "point outside the weight")
      }
      indices = found
    } else {
      indices = nil
    }
    factors =
      summary.rank == nil
      ? nil
      : LowRankFactors(
        rank: summary.rank ?? 0, rows: rows, columns: columns,
        b: try module.tensor("supertuning_lora_B.weight").reals,
        a: try module.tensor("supertuning_lora_A.weight").reals,
        scale: Float(summary.scale ?? 0))
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let selection = MagnitudeSelection(
      rows: layer.outFeatures, columns: layer.inFeatures, values: values,
      takesLargest: takesLargest, factors: factors)
    return indices.map(selection.update) ?? selection
  }
}

/// The update before its places are known.
private struct MagnitudeSelection: WeightUpdate {
  let rows: Int
  let columns: Int
  let values: [Float]
  let takesLargest: Bool
  let factors: LowRankFactors?

  var form: UpdateForm { .additive }

  func update(at indices: [Int]) -> any WeightUpdate {
    let sparse = SparseElements(
      rows: rows, columns: columns,
      places: indices.map { ($0 / columns, $0 % columns) }, values: values)
    return factors.map { SumUpdate(LowRankUpdate($0), sparse) } ?? sparse
  }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    let magnitudes = try base.readAll().map { abs($0) }
    let sorted = magnitudes.sorted(by: takesLargest ? (>) : (<))
    guard let bound = values.isEmpty ? nil : sorted[values.count - 1] else {
      return update(at: [])
    }
    let found = magnitudes.indices.filter {
      takesLargest ? magnitudes[$0] >= bound : magnitudes[$0] <= bound
    }.sorted {
      takesLargest ? magnitudes[$0] > magnitudes[$1] : magnitudes[$0] < magnitudes[$1]
    }
    let hasTies = zip(found, found.dropFirst()).contains { magnitudes[$0] == magnitudes[$1] }
    guard !hasTies, found.count == values.count else {
      throw MethodError.notMergeable(
        reason: "the places of the values are not stored, and equal weights leave them open")
    }
    return update(at: found)
  }
}

/// The sum of two additive updates.
struct SumUpdate: WeightUpdate {
  private let first: any WeightUpdate
  private let second: any WeightUpdate

  /// - Precondition: both are additive and of one size.
  init(_ first: any WeightUpdate, _ second: any WeightUpdate) {
    precondition(first.form == .additive && second.form == .additive)
    (self.first, self.second) = (first, second)
  }

  var rows: Int { first.rows }
  var columns: Int { first.columns }
  var form: UpdateForm { .additive }

  func addDelta(to delta: RowBand, scale: Float) {
    first.addDelta(to: delta, scale: scale)
    second.addDelta(to: delta, scale: scale)
  }

  func transposed() -> (any WeightUpdate)? {
    guard let first = first.transposed(), let second = second.transposed() else { return nil }
    return SumUpdate(first, second)
  }
}
