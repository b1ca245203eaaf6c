/// BOFT: `W' = diag(s)·W0·Mᵀ`, M the product of butterfly factors `Pₜ·blockdiag(Cₜ)·Pₜᵀ`, each C the Cayley
/// transform of the skew-symmetric part of a block.
///
/// Source: Liu et al. 2023 (2311.06243); permutations as PEFT. Blocks are computed in f64 and
/// rounded to f32; a row passes the factors one after the other.
public struct BOFT: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "BOFT", names: ["boft"], peftTypes: ["BOFT"],
    source: "Liu et al. 2023 (2311.06243)", leaves: ["boft_R", "boft_s"],
    settings: ["fan_in_fan_out"],
    trainingSettings: [
      "boft_block_size", "boft_block_num", "boft_n_butterfly_factor", "boft_dropout",
      "init_weights",
    ])

  private let layer: LayerGeometry
  private let factors: [ButterflyFactor]
  private let scale: [Float]

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let shape = try shapes.required("boft_R", dimensions: 4)
    let (factors, blocks, size) = (shape[0], shape[1], shape[2])
    let inputs = layer?.inFeatures ?? blocks * size
    guard shape[3] == size, blocks * size == inputs, factors > 0 else {
      throw .shape(
        leaf: "boft_R", found: shape, expected: "[factors, blocks, b, b] with \(inputs) inputs")
    }
    // Factor t exchanges halves of blocks over 2ᵗ of them.
    if factors > 1 {
      guard size.isMultiple(of: 2), factors <= 30, blocks.isMultiple(of: 1 << (factors - 1)) else {
        throw .shape(
          leaf: "boft_R", found: shape,
          expected: "an even block size, and blocks divisible by \(1 << min(factors - 1, 30))")
      }
    }
    let outputs = try shapes.required("boft_s").reduce(1, *)
    try shapes.expectVector("boft_s", count: layer?.outFeatures ?? outputs)
    return ModuleSummary(trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    let tensor = try module.tensor("boft_R")
    let (count, blocks, size) = (tensor.shape[0], tensor.shape[1], tensor.shape[2])
    let values = tensor.reals
    var factors: [ButterflyFactor] = []
    for factor in 0..<count {
      var rotations: [DenseMatrix] = []
      for block in 0..<blocks {
        let start = (factor * blocks + block) * size * size
        let r = DenseMatrix(
          rows: size, columns: size, Array(values[start..<start + size * size]))
        var q = r
        for row in 0..<size {
          for column in 0..<size { q[row, column] = 0.5 * (r[row, column] - r[column, row]) }
        }
        do {
          rotations.append(try BlockRotation.cayley(q))
        } catch {
          throw .values(leaf: "boft_R", reason: "are not finite")
        }
      }
      let inputs = blocks * size
      let order =
        count == 1
        ? Array(0..<inputs)
        : ButterflyFactor.order(count: inputs, blocks: blocks >> factor, half: size / 2)
      factors.append(ButterflyFactor(order: order, rotation: BlockRotation(rotations)))
    }
    self.factors = factors
    scale = try module.tensor("boft_s").reals
    layer = module.layer
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    ButterflyUpdate(
      factors: factors, scale: scale, rows: layer.outFeatures, columns: layer.inFeatures)
  }
}

/// `P·blockdiag(C)·Pᵀ`.
private struct ButterflyFactor: Sendable {
  /// Row i of P has its one in column `order[i]`.
  let order: [Int]
  let rotation: BlockRotation

  /// The inputs of each of `blocks` equal blocks, in groups of `half`: even groups first, then odd ones.
  static func order(count: Int, blocks: Int, half: Int) -> [Int] {
    let groups = count / blocks / half
    let sequence = Array(stride(from: 0, to: groups, by: 2)) + stride(from: 1, to: groups, by: 2)
    return (0..<blocks).flatMap { block in
      sequence.flatMap { group in
        (0..<half).map { (block * groups + group) * half + $0 }
      }
    }
  }
}

private struct ButterflyUpdate: RowwiseTransform {
  let factors: [ButterflyFactor]
  let scale: [Float]
  let rows: Int
  let columns: Int

  var scratchCount: Int { 2 * columns }

  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
  ) {
    let (old, turned) = (scratch.slice(0..<columns), scratch.slice(columns..<2 * columns))
    for factor in factors {
      for (index, place) in factor.order.enumerated() { old[place] = values[index] }
      turned.update(repeating: 0)
      factor.rotation.rotate(UnsafeBufferPointer(old), into: turned)
      for (index, place) in factor.order.enumerated() { values[index] = turned[place] }
    }
    values.multiply(by: scale[row])
  }
}
