/// MiSS: `W' = W0 + D`, D the trained block (r × out) transposed and repeated along the inputs: rank r.
/// "mini" also repeats a block of r × m along the outputs. "bat", a block per r outputs, is
/// `W' = W0 + W0·B_P + B_P` for every square of r × r.
///
/// Source: Kang et al. 2024 (2409.15371); files as PEFT, and those of its forerunner Bone.
public struct MiSS: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "MiSS", names: ["miss"], peftTypes: ["MISS", "BONE"],
    source: "Kang et al. 2024 (2409.15371)", leaves: ["miss_block", "bone_block"],
    settings: ["init_weights"], trainingSettings: ["r", "mini_r", "miss_dropout"])

  private let layer: LayerGeometry
  private let block: AdapterTensor

  private static func leaf(_ shapes: [String: [Int]]) -> String {
    shapes["bone_block"] == nil ? "miss_block" : "bone_block"
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let leaf = leaf(shapes)
    let shape = try shapes.required(leaf)
    if settings["init_weights"] == .text("bat") {
      let size = shape.last ?? 0
      try shapes.expect(
        leaf, [layer.map { $0.outFeatures / max(size, 1) } ?? shape[0], size, size])
      if let layer {
        guard layer.outFeatures.isMultiple(of: size), layer.inFeatures.isMultiple(of: size) else {
          throw .shape(leaf: leaf, found: shape, expected: "blocks that divide the weight")
        }
      }
    } else {
      guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
        throw .shape(leaf: leaf, found: shape, expected: "[r, out]")
      }
      if let layer, !layer.outFeatures.isMultiple(of: shape[1]) {
        throw .shape(
          leaf: leaf, found: shape, expected: "a divisor of \(layer.outFeatures) columns")
      }
    }
    return ModuleSummary(
      rank: shape.count == 3 ? nil : shape[0],
      trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    block = try module.tensor(Self.leaf(module.shapes))
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let (rows, columns) = (layer.outFeatures, layer.inFeatures)
    if block.shape.count == 3 {
      return SquareBlockUpdate(
        size: block.shape[1], blocks: block.reals, rows: rows, columns: columns)
    }
    let (rank, width) = (block.shape[0], block.shape[1])
    let values = block.reals
    var b = [Float](repeating: 0, count: rows * rank)
    for row in 0..<rows {
      for k in 0..<rank { b[row * rank + k] = values[k * width + row % width] }
    }
    var a = [Float](repeating: 0, count: rank * columns)
    for column in 0..<columns { a[column % rank * columns + column] = 1 }
    return LowRankUpdate(
      LowRankFactors(rank: rank, rows: rows, columns: columns, b: b, a: a, scale: 1))
  }
}

/// `row' = row + (row·B + B[a])`, square by square, a the row's place in its block: the change is summed
/// by fused multiply-add in ascending order from B[a] on.
private struct SquareBlockUpdate: RowwiseTransform {
  let size: Int
  let blocks: [Float]
  let rows: Int
  let columns: Int

  var scratchCount: Int { size }

  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
  ) {
    blocks.withUnsafeBufferPointer { blocks in
      let first = row / size * size
      for start in stride(from: 0, to: columns, by: size) {
        let square = values.slice(start..<start + size)
        _ = scratch.update(from: blocks.row(row, columns: size))
        for k in 0..<size {
          scratch.addProduct(square[k], blocks.row(first + k, columns: size))
        }
        square.addProduct(1, UnsafeBufferPointer(scratch))
      }
    }
  }
}
