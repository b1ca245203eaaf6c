/// RandLoRA: `W' = W0 + s·Σ_b B_b·diag(λ_b)·A·diag(γ_b)`, `s = α/r`, with random A and B shared by all
/// layers and as many terms b as make the change full in rank. A spans the smaller side of W.
///
/// Source: Albert et al. 2025 (2502.00987); PEFT's files, whose two factors run over rank and term
/// in opposite orders, and its drawn projections.
public struct RandLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "RandLoRA", names: ["randlora"], peftTypes: ["RANDLORA"],
    source: "Albert et al. 2025 (2502.00987)",
    roundedTwiceInPEFT: true, leaves: ["randlora_lambda", "randlora_gamma"],
    ignoredLeaves: ["randlora_A", "randlora_B"], sharedTensors: ["randlora_A", "randlora_B"],
    settings: [
      "randlora_alpha", "projection_prng_key", "save_projection", "sparse", "very_sparse",
      "fan_in_fan_out",
    ],
    trainingSettings: ["r", "randlora_dropout", "init_weights"],
    remark: "Projections that were not saved are drawn again, bit for bit.")

  private let factors: LowRankFactors

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let lambda = try shapes.required("randlora_lambda", dimensions: 2)
    let gamma = try shapes.required("randlora_gamma", dimensions: 2)
    let (rank, terms) = (lambda[0], lambda[1])
    let smaller = layer.map { min($0.inFeatures, $0.outFeatures) } ?? gamma[1]
    guard rank > 0, terms == (smaller + rank - 1) / rank else {
      throw .shape(
        leaf: "randlora_lambda", found: lambda, expected: "[r, \(smaller)/r rounded up]")
    }
    try shapes.expect("randlora_gamma", [terms, smaller])
    return ModuleSummary(
      rank: rank, scale: (try settings.real("randlora_alpha") ?? 640) / Double(rank),
      trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let layer = module.layer
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: layer)
    let (rank, settings) = (summary.rank ?? 0, module.settings)
    let shared = try module.context.shared(["randlora_A", "randlora_B"]) {
      () throws(MethodError) in
      try RandomBases(rank: rank, layers: module.context.layers, settings: settings).tensors
    }
    let (a, b) = (shared[0], shared[1])
    let (rows, columns) = (layer.outFeatures, layer.inFeatures)
    let (smaller, larger) = (min(rows, columns), max(rows, columns))
    let terms = try module.tensor("randlora_lambda").shape[1]
    guard a.shape.count == 3, a.shape[0] == rank, a.shape[1] == 1, a.shape[2] >= smaller else {
      throw .shape(
        leaf: "randlora_A", found: a.shape, expected: "[\(rank), 1, \(smaller) or more]")
    }
    guard b.shape.count == 3, b.shape[0] >= larger, b.shape[1] >= terms, b.shape[2] == rank else {
      throw .shape(
        leaf: "randlora_B", found: b.shape,
        expected: "[\(larger) or more, \(terms) or more, \(rank)]")
    }
    let lambda = try module.tensor("randlora_lambda").reals
    let gamma = try module.tensor("randlora_gamma").reals
    let (allA, allB) = (a.reals, b.reals)
    var narrow: [Float] = []
    narrow.reserveCapacity(rank * terms * smaller)
    for k in 0..<rank {
      for term in 0..<terms {
        for column in 0..<smaller {
          narrow.append(
            lambda[k * terms + term] * allA[k * a.shape[2] + column]
              * gamma[term * smaller + column])
        }
      }
    }
    var wide: [Float] = []
    wide.reserveCapacity(larger * terms * rank)
    for row in 0..<larger {
      let start = row * b.shape[1] * rank
      wide += allB[start..<start + terms * rank]
    }
    let product = LowRankFactors(
      rank: rank * terms, rows: larger, columns: smaller, b: wide, a: narrow,
      scale: Float(summary.scale ?? 0))
    factors = columns == smaller ? product : product.transposed()
  }

  /// Not offered as LoRA: the rank is that of the whole matrix.
  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }
}

/// A (r, 1, smaller side) and B (larger side, terms, r) as PEFT draws them from `projection_prng_key`,
/// divided by their standard deviations.
private struct RandomBases {
  let tensors: [String: AdapterTensor]

  init(rank: Int, layers: [LayerGeometry], settings: MethodSettings) throws(MethodError) {
    let inputs = layers.reduce(0) { max($0, $1.inFeatures) }
    let outputs = layers.reduce(0) { max($0, $1.outFeatures) }
    let (smaller, larger) = (min(inputs, outputs), max(inputs, outputs))
    guard smaller > 0 else { throw .missingTensor(leaf: "randlora_A") }
    let terms = (smaller + rank - 1) / rank
    var generator = TorchGenerator(seed: try settings.seed("projection_prng_key", default: 0))
    let isVerySparse = try settings.bool("very_sparse") ?? false
    let isSparse = try settings.bool("sparse") ?? false
    var (a, b): ([Float], [Float])
    if isVerySparse || isSparse {
      let sparsity = isVerySparse ? Double(smaller).squareRoot() : 3
      a = Self.signs(generator.uniform(rank * smaller), sparsity: sparsity)
      b = Self.signs(generator.uniform(larger * terms * rank), sparsity: sparsity)
    } else {
      a = Self.bfloats(rank * smaller, fanIn: smaller, from: &generator)
      b = [Float](repeating: 0, count: larger * terms * rank)
      for term in 0..<terms {
        let part = Self.bfloats(larger * rank, fanIn: rank, from: &generator)
        for row in 0..<larger {
          let start = (row * terms + term) * rank
          b.replaceSubrange(start..<start + rank, with: part[row * rank..<(row + 1) * rank])
        }
      }
    }
    let isReal = isVerySparse || isSparse
    a = Self.divided(a, in: isReal ? .f32 : .bf16)
    b = Self.divided(b, in: isReal ? .f32 : .bf16)
    tensors = [
      "randlora_A": AdapterTensor(shape: [rank, 1, smaller], a),
      "randlora_B": AdapterTensor(shape: [larger, terms, rank], b),
    ]
  }

  /// −1 below 1/(2σ), 1 above 1 − 1/(2σ), 0 between.
  private static func signs(_ uniform: [Float], sparsity: Double) -> [Float] {
    let low = Float(1 / (2 * sparsity))
    let high = Float(1 - 1 / (2 * sparsity))
    return uniform.map { $0 < low ? -1 : $0 > high ? 1 : 0 }
  }

  /// `values` over their standard deviation (of n − 1 degrees), all in the precision of `element`.
  private static func divided(_ values: [Float], in element: ElementType) -> [Float] {
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let squares = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    let deviation = Float((squares / Double(values.count - 1)).squareRoot())
    let divisor = element.widened(element.rounded([deviation]))[0]
    return element.widened(element.rounded(values.map { $0 / divisor }))
  }

  /// Uniform numbers as PyTorch draws them into a bf16 tensor, whatever the base: within 1/√fanIn, rounded,
  /// and where that gives the upper bound, the lower one.
  private static func bfloats(
    _ count: Int, fanIn: Int, from generator: inout TorchGenerator
  ) -> [Float] {
    // √3·√(2/(1 + 5))/√fanIn, in the order of PyTorch's operations.
    let bound = 3.0.squareRoot() * ((1.0 / 3).squareRoot() / Double(fanIn).squareRoot())
    let rounded = ElementType.bf16.widened(
      ElementType.bf16.rounded(
        generator.uniform(count, from: -bound, to: bound) + [Float(bound)]))
    let limit = rounded[count]
    return rounded.prefix(count).map { $0 >= limit ? -limit : $0 }
  }
}
