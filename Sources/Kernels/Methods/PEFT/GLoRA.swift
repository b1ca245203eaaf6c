/// GLoRA: `W' = W + W0∘A + B`, bias' = bias + bias0∘D + E + W0·C; each of A … E a low-rank product, a value per
/// output (C: per input), one value, or nothing.
///
/// Source: Chavan et al. 2023 (2306.07967); files as PEFT.
public struct GLoRA: AdapterMethod {
  private static let paths = ["A", "B", "C", "D", "E"]

  public static let descriptor = MethodDescriptor(
    title: "GLoRA", names: ["glora"], peftTypes: ["GLORA"],
    source: "Chavan et al. 2023 (2306.07967)",
    roundedTwiceInPEFT: true,
    leaves: paths.flatMap { ["glora_\($0).Xd", "glora_\($0).Xu", "glora_\($0).X"] },
    ignoredLeaves: paths.map { "glora_\($0).zeros" }, settings: [],
    trainingSettings: ["r", "config_A_B", "config_C", "config_D_E", "init_weights"])

  private let layer: LayerGeometry
  private let values: [String: Path]

  /// One of A … E.
  private enum Path: Sendable {
    case nothing
    case constant(Float)
    /// One value per output, for C one per input.
    case vector([Float])
    case product(LowRankFactors)
  }

  /// Checks the shapes of a path of `rows × columns` and says whether it is there.
  private static func check(
    _ path: String, _ shapes: [String: [Int]], rows: Int?, columns: Int?
  ) throws(MethodError) -> Bool {
    let (left, right, vector) = ("glora_\(path).Xd", "glora_\(path).Xu", "glora_\(path).X")
    if shapes[left] != nil {
      let a = try shapes.required(left, dimensions: 2)
      let b = try shapes.required(right, dimensions: 2)
      try shapes.expect(left, [rows ?? a[0], a[1]])
      try shapes.expect(right, [a[1], columns ?? b[1]])
      return true
    }
    guard let shape = shapes[vector] else { return false }
    if shape != [1] { try shapes.expectVector(vector, count: rows ?? shape.reduce(1, *)) }
    return true
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let (outputs, inputs) = (layer?.outFeatures, layer?.inFeatures)
    let hasA = try check("A", shapes, rows: outputs, columns: inputs)
    let hasB = try check("B", shapes, rows: outputs, columns: inputs)
    let hasC = try check("C", shapes, rows: inputs, columns: 1)
    let hasD = try check("D", shapes, rows: outputs, columns: 1)
    let hasE = try check("E", shapes, rows: outputs, columns: 1)
    return ModuleSummary(
      rank: shapes["glora_A.Xd"]?.last,
      trainableParameters: shapes.elements(of: descriptor.leaves), changesWeight: hasA || hasB,
      changesBias: (hasC || hasD || hasE) && layer?.hasBias ?? true)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    var values: [String: Path] = [:]
    for path in Self.paths {
      if let left = module.tensors["glora_\(path).Xd"] {
        let right = try module.tensor("glora_\(path).Xu")
        values[path] = .product(
          LowRankFactors(
            rank: left.shape[1], rows: left.shape[0], columns: right.shape[1], b: left.reals,
            a: right.reals, scale: 1))
      } else if let tensor = module.tensors["glora_\(path).X"] {
        let reals = tensor.reals
        values[path] = tensor.shape == [1] ? .constant(reals[0]) : .vector(reals)
      }
    }
    self.values = values
  }

  private func path(_ name: String) -> Path { values[name] ?? .nothing }

  public func weightUpdate() -> (any WeightUpdate)? {
    if case (.nothing, .nothing) = (path("A"), path("B")) { return nil }
    return PathUpdate(
      factor: path("A"), addend: path("B"), rows: layer.outFeatures, columns: layer.inFeatures)
  }

  public func biasUpdate() -> (any BiasUpdate)? {
    guard layer.hasBias else { return nil }
    if case (.nothing, .nothing, .nothing) = (path("C"), path("D"), path("E")) { return nil }
    return PathBiasUpdate(weight: path("C"), factor: path("D"), addend: path("E"))
  }

  /// `values = fma(base, A, values) + B`.
  private struct PathUpdate: RowwiseTransform {
    let factor: Path
    let addend: Path
    let rows: Int
    let columns: Int

    var scratchCount: Int { columns }

    func transform(
      row: Int, _ values: UnsafeMutableBufferPointer<Float>,
      base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
    ) {
      Self.fill(scratch, with: factor, row: row)
      for column in values.indices { values[column].addProduct(base[column], scratch[column]) }
      Self.fill(scratch, with: addend, row: row)
      values.addProduct(1, UnsafeBufferPointer(scratch))
    }

    private static func fill(
      _ result: UnsafeMutableBufferPointer<Float>, with path: Path, row: Int
    ) {
      switch path {
      case .nothing: result.update(repeating: 0)
      case .constant(let value): result.update(repeating: value)
      case .vector(let values): result.update(repeating: values[row])
      case .product(let factors):
        result.update(repeating: 0)
        MergeRows.addLowRank(
          [factors], to: RowBand(rows: row..<row + 1, columns: result.count, values: result))
      }
    }
  }

  private struct PathBiasUpdate: BiasUpdate {
    let weight: Path
    let factor: Path
    let addend: Path

    func apply(to bias: inout [Float], weight source: any RowSource) throws {
      let products = try products(with: source)
      for row in bias.indices {
        let old = bias[row]
        bias[row] =
          old.addingProduct(old, Self.value(factor, row)) + Self.value(addend, row) + products[row]
      }
    }

    /// W0·C, in f64, rounded once.
    private func products(with source: any RowSource) throws -> [Float] {
      let vector: [Float]
      switch weight {
      case .nothing: return [Float](repeating: 0, count: source.rows)
      case .constant(let value): vector = [Float](repeating: value, count: source.columns)
      case .vector(let values): vector = values
      case .product(let factors):
        vector = (0..<factors.rows).map { row in
          (0..<factors.rank).reduce(Float(0)) {
            $0.addingProduct(factors.b[row * factors.rank + $1], factors.a[$1])
          }
        }
      }
      return try source.rowProducts(with: vector)
    }

    private static func value(_ path: Path, _ row: Int) -> Float {
      switch path {
      case .nothing: 0
      case .constant(let value): value
      case .vector(let values): values[row]
      case .product(let factors):
        (0..<factors.rank).reduce(0) {
          $0.addingProduct(factors.b[row * factors.rank + $1], factors.a[$1])
        }
      }
    }
  }
}
