/// GraLoRA: `W' = W0 + s·D`, D a grid of k × k blocks, each a low-rank product of its own, and with
/// `hybrid_r` h a low-rank change of the whole weight; `s = α/(r + h)`.
///
/// Block (j, n) of outputs and inputs takes the rank slice j of `A[n]` and the slice n of `B[j]`.
///
/// Source: Jung et al. 2025 (2505.20355); files as PEFT. Arithmetic: summed by fused multiply-add in ascending
/// rank, the whole weight's part last, then scaled.
public struct GraLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "GraLoRA", names: ["gralora"], peftTypes: ["GRALORA"],
    source: "Jung et al. 2025 (2505.20355)",
    leaves: [
      "gralora_A", "gralora_B", "gralora_A_general.weight", "gralora_B_general.weight",
    ],
    settings: ["alpha", "hybrid_r", "fan_in_fan_out"],
    trainingSettings: ["r", "gralora_k", "gralora_dropout", "init_weights"])

  private let update: GridUpdate

  /// Blocks per side, rank of a block's source, and rank of the general part.
  private static func form(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> (blocks: Int, rank: Int, general: Int) {
    let a = try shapes.required("gralora_A", dimensions: 3)
    let b = try shapes.required("gralora_B", dimensions: 3)
    let (blocks, rank) = (a[0], a[2])
    guard blocks > 0, rank.isMultiple(of: blocks) else {
      throw .shape(leaf: "gralora_A", found: a, expected: "[k, in/k, a multiple of k]")
    }
    try shapes.expect("gralora_B", [blocks, rank, b[2]])
    if let layer {
      guard a[1] * blocks == layer.inFeatures, b[2] * blocks == layer.outFeatures else {
        throw .shape(
          leaf: "gralora_B", found: b,
          expected: "\(blocks) blocks of \(layer.outFeatures) × \(layer.inFeatures)")
      }
    }
    guard try settings.integer("hybrid_r") ?? 0 > 0 else { return (blocks, rank, 0) }
    let general = try shapes.required("gralora_A_general.weight", dimensions: 2)[0]
    try shapes.expect("gralora_A_general.weight", [general, a[1] * blocks])
    try shapes.expect("gralora_B_general.weight", [b[2] * blocks, general])
    return (blocks, rank, general)
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let (_, rank, general) = try form(shapes, settings: settings, layer: layer)
    return ModuleSummary(
      rank: rank + general,
      scale: (try settings.real("alpha") ?? 64) / Double(max(rank + general, 1)),
      trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let (blocks, rank, general) = try Self.form(
      module.shapes, settings: module.settings, layer: module.layer)
    let (rows, columns) = (module.layer.outFeatures, module.layer.inFeatures)
    let (height, width) = (rows / blocks, columns / blocks)
    let a = try module.tensor("gralora_A").reals
    let b = try module.tensor("gralora_B").reals
    update = GridUpdate(
      blocks: blocks, slice: rank / blocks, rows: rows, columns: columns,
      // A (k, in/k, r) to rows along the inputs, B (k, r, out/k) to rows along the rank.
      a: (0..<blocks).flatMap {
        transpose(Array(a[$0 * width * rank..<($0 + 1) * width * rank]), rows: width, columns: rank)
      },
      b: (0..<blocks).flatMap {
        transpose(
          Array(b[$0 * rank * height..<($0 + 1) * rank * height]), rows: rank, columns: height)
      },
      general: general,
      generalA: general == 0 ? [] : try module.tensor("gralora_A_general.weight").reals,
      generalB: general == 0 ? [] : try module.tensor("gralora_B_general.weight").reals,
      scale: Float(summary.scale ?? 0))
  }

  public func weightUpdate() -> (any WeightUpdate)? { update }
}

private struct GridUpdate: RowwiseDelta {
  let blocks: Int
  /// Rank of a block.
  let slice: Int
  let rows: Int
  let columns: Int
  /// `blocks × rank × columns/blocks`.
  let a: [Float]
  /// `blocks × rows/blocks × rank`.
  let b: [Float]
  let general: Int
  let generalA: [Float]
  let generalB: [Float]
  let scale: Float

  func makeRowWriter() -> (Int, UnsafeMutableBufferPointer<Float>) -> Void {
    let (rank, width) = (slice * blocks, columns / blocks)
    return { row, values in
      let j = row / (rows / blocks)
      a.withUnsafeBufferPointer { a in
        for n in 0..<blocks {
          let part = values.slice(n * width..<(n + 1) * width)
          for k in 0..<slice {
            part.addProduct(
              b[row * rank + n * slice + k], a.row(n * rank + j * slice + k, columns: width))
          }
        }
      }
      generalA.withUnsafeBufferPointer { generalA in
        for k in 0..<general {
          values.addProduct(generalB[row * general + k], generalA.row(k, columns: columns))
        }
      }
      values.multiply(by: scale)
    }
  }
}
