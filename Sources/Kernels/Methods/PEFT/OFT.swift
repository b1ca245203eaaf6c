/// OFT: `W' = W0·Rᵀ`, R block-diagonal and orthogonal, made of skew-symmetric blocks Q by the Cayley
/// transform or by the first terms of its Neumann series; on an embedding `W' = W0·R`.
///
/// Source: Qiu et al. 2023 (2306.07280); blocks on the input side, the series and the
/// projection (`coft`) as PEFT. Blocks are computed in f64 and rounded to f32.
public struct OFT: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "OFT", names: ["oft"], peftTypes: ["OFT"],
    source: "Qiu et al. 2023 (2306.07280)",
    leaves: ["oft_R.weight", "oft_embedding_R.weight"],
    settings: [
      "oft_block_size", "coft", "eps", "use_cayley_neumann", "num_cayley_neumann_terms",
      "fan_in_fan_out",
    ],
    trainingSettings: ["r", "module_dropout", "init_weights", "block_share"])

  private let layer: LayerGeometry
  private let rotation: BlockRotation

  /// The leaf, the number of blocks and their size.
  private static func blocks(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> (leaf: String, count: Int, size: Int) {
    // Before PEFT 0.16 there was no block size, and the parameters meant something else.
    guard settings["oft_block_size"] != nil else {
      throw .setting(name: "oft_block_size", reason: "is missing: written before PEFT 0.16")
    }
    let embedding = descriptor.leaves[1]
    let leaf = shapes[embedding] == nil ? descriptor.leaves[0] : embedding
    let shape = try shapes.required(leaf, dimensions: 2)
    let size = Int((1 + Double(1 + 8 * shape[1]).squareRoot()) / 2)
    guard size * (size - 1) / 2 == shape[1], shape[1] > 0 else {
      throw .shape(leaf: leaf, found: shape, expected: "[blocks, b·(b − 1)/2]")
    }
    if let columns = layer?.inFeatures {
      let fits = shape[0] == 1 ? columns % size == 0 : shape[0] * size == columns
      guard fits else {
        throw .shape(leaf: leaf, found: shape, expected: "blocks that fill \(columns) inputs")
      }
    }
    return (leaf, shape[0], size)
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    _ = try blocks(shapes, settings: settings, layer: layer)
    return ModuleSummary(trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let settings = module.settings
    let (leaf, count, size) = try Self.blocks(
      module.shapes, settings: settings, layer: module.layer)
    let values = try module.tensor(leaf).reals
    let isProjected = try settings.bool("coft") ?? false
    let bound = (try settings.real("eps") ?? 6e-5) / Double(count).squareRoot()
    let isSeries = try settings.bool("use_cayley_neumann") ?? true
    let terms = try settings.positive("num_cayley_neumann_terms", default: 5)
    var rotations: [DenseMatrix] = []
    let elements = size * (size - 1) / 2
    for block in 0..<count {
      var q = Self.skewSymmetric(values[block * elements..<(block + 1) * elements], size: size)
      if isProjected { Self.project(&q, to: bound) }
      if isSeries {
        rotations.append(Self.neumannSeries(q, terms: terms))
      } else {
        do {
          rotations.append(try BlockRotation.cayley(q))
        } catch {
          throw .values(leaf: leaf, reason: "are not finite")
        }
      }
    }
    layer = module.layer
    if leaf == Self.descriptor.leaves[1] { rotations = rotations.map(\.transposed) }
    rotation = BlockRotation(rotations)
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    BlockRotationUpdate(rotation: rotation, rows: layer.outFeatures, columns: layer.inFeatures)
  }

  /// The upper triangle, row by row, and its negative below.
  static func skewSymmetric(_ upper: ArraySlice<Float>, size: Int) -> DenseMatrix {
    var q = DenseMatrix(rows: size, columns: size)
    var index = upper.startIndex
    for row in 0..<size {
      for column in row + 1..<max(size, row + 1) {
        q[row, column] = Double(upper[index])
        q[column, row] = -q[row, column]
        index += 1
      }
    }
    return q
  }

  /// Shortens Q to the Frobenius norm `bound` where it is longer.
  private static func project(_ q: inout DenseMatrix, to bound: Double) {
    let norm = q.values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    guard norm > bound else { return }
    for index in q.values.indices { q.values[index] *= bound / norm }
  }

  /// `I + 2Q + 2Q² + … + Qⁿ⁻¹`, the last power once. PEFT never ends after Q²: 3 terms are 4.
  private static func neumannSeries(_ q: DenseMatrix, terms: Int) -> DenseMatrix {
    var sum = DenseMatrix(identity: q.rows)
    guard terms > 1 else { return sum }
    let last = terms == 2 ? 1 : max(terms, 4) - 1
    var power = q
    for exponent in 1...last {
      if exponent > 1 { power = power.multiplied(by: q) }
      let factor: Double = exponent == last && terms > 2 ? 1 : 2
      for index in sum.values.indices { sum.values[index] += factor * power.values[index] }
    }
    return sum
  }
}
