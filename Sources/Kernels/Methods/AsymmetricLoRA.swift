/// LoRA with one factor frozen after its orthonormal start: `W' = W0 + s·B·A`, or `W0 + s·B·E·A` with
/// the r × r factor E of the official fork.
public struct AsymmetricLoRA: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "Asymmetric LoRA", names: ["asylora-a", "asylora-b"], peftTypes: ["LORA", "LORASYM"],
    source: "Zhu et al. 2024 (2402.16842)",
    leaves: ["lora_A.weight", "lora_B.weight"], frozenLeaves: ["lora_E.weight"],
    settings: LoRAFactors.settings + ["frozen_factor"], patterns: LoRAFactors.patterns,
    trainingSettings: LoRAFactors.trainingSettings + ["update_rule"],
    remark: "asylora-a freezes A, asylora-b freezes B; the frozen factor is stored.")

  /// Which factor is frozen.
  private enum Frozen: String {
    case a = "A"
    case b = "B"

    var leaf: String { self == .a ? "lora_A.weight" : "lora_B.weight" }
  }

  private let layer: LayerGeometry
  private let frozen: Frozen
  private let factors: LowRankFactors
  private let hasMiddle: Bool

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    shapes["lora_E.weight"] != nil || settings["frozen_factor"] != nil
      || settings["update_rule"] != nil
  }

  private static func frozen(_ settings: MethodSettings) throws(MethodError) -> Frozen {
    guard let text = try settings.text("frozen_factor") else { return .a }
    guard let frozen = Frozen(rawValue: text) else {
      throw .setting(name: "frozen_factor", reason: "must be A or B")
    }
    return frozen
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let form = try LoRAFactors.Form(shapes, settings: settings, layer: layer)
    guard form.placement == .matrix else {
      throw .layer(reason: "asymmetric LoRA needs a linear layer or a convolution")
    }
    if shapes["lora_E.weight"] != nil {
      try shapes.expect("lora_E.weight", [form.rank, form.rank])
    }
    let trained = try frozen(settings) == .a ? Frozen.b : .a
    return ModuleSummary(
      rank: form.rank, scale: form.scale, trainableParameters: shapes.elements(of: [trained.leaf]),
      notMergeable: try LoRAFactors.refusal(settings))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(
      module.shapes, settings: module.settings, layer: module.layer)
    if let reason = summary.notMergeable { throw .notMergeable(reason: reason) }
    layer = module.layer
    frozen = try Self.frozen(module.settings)
    var factors = try LoRAFactors(module).matrix
    hasMiddle = module.tensors["lora_E.weight"] != nil
    if let middle = module.tensors["lora_E.weight"]?.reals {
      let (rank, columns) = (factors.rank, factors.columns)
      var a = [Float](repeating: 0, count: rank * columns)
      for k in 0..<rank {
        for column in 0..<columns {
          var sum = 0.0
          for inner in 0..<rank {
            sum += Double(middle[k * rank + inner]) * Double(factors.a[inner * columns + column])
          }
          a[k * columns + column] = Float(sum)
        }
      }
      factors = LowRankFactors(
        rank: rank, rows: factors.rows, columns: columns, b: factors.b, a: a, scale: factors.scale)
    }
    self.factors = factors
  }

  public func weightUpdate() -> (any WeightUpdate)? { LowRankUpdate(factors) }

  // MARK: Training

  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let frozen = try frozen(settings)
    var tensors = try LoRAFactors.tensors(layer: layer, settings: settings)
    for index in tensors.indices { tensors[index].isTrained = tensors[index].leaf != frozen.leaf }
    return tensors
  }

  /// The frozen factor starts with r orthonormal rows (A) or columns (B), the trained one at 0.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    var result = try startingTensors(start) { _ in 0 }
    let rank = try start.settings.positive("r", default: 8)
    let frozen = try frozen(start.settings)
    let length = frozen == .a ? start.layer.inFeatures : start.layer.outFeatures
    guard rank <= length else {
      throw .setting(name: "r", reason: "exceeds \(length), so that no r orthonormal vectors exist")
    }
    let rows = orthonormalRows(rank, length: length, generator: &generator)
    result[frozen.leaf] =
      frozen == .a
      ? AdapterTensor(shape: [rank, length], rows)
      : AdapterTensor(shape: [length, rank], transpose(rows, rows: rank, columns: length))
    return result
  }

  /// Gram and Schmidt in f64, twice over, on normal numbers.
  private static func orthonormalRows(
    _ count: Int, length: Int, generator: inout TorchGenerator
  ) -> [Float] {
    var rows: [[Double]] = []
    while rows.count < count {
      var row = generator.normal(length).map { Double($0) }
      for _ in 0..<2 {
        for other in rows {
          let part = zip(row, other).reduce(0) { $0 + $1.0 * $1.1 }
          for index in row.indices { row[index] -= part * other[index] }
        }
      }
      let norm = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
      // A draw that lies in the span of the others is as good as impossible; draw again.
      guard norm > 1e-6 else { continue }
      rows.append(row.map { $0 / norm })
    }
    return rows.flatMap { $0.map { Float($0) } }
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    guard layer.kind == .linear, !hasMiddle else {
      throw .layer(reason: "training needs a linear layer and no lora_E")
    }
    let (rows, columns, rank) = (factors.rows, factors.columns, factors.rank)
    let matrix: LoRALayer<Scalar>.Frozen =
      switch frozen {
      case .a: .a(FrozenMatrix(widening: factors.a, rows: rank, columns: columns))
      case .b: .b(FrozenMatrix(widening: factors.b, rows: rows, columns: rank))
      }
    return LoRALayer<Scalar>(
      inFeatures: columns, outFeatures: rows, rank: rank, scale: Scalar(factors.scale),
      frozen: matrix)
  }
}
