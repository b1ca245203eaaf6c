import Foundation

/// MoRA: `W' = W0 + decompress·M·compress` with one trained square matrix M, `r' × r'`, and fixed maps
/// that shorten the input to r' numbers and spread r' numbers over the output.
public struct MoRA: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "MoRA",
    names: [
      "mora1", "mora2", "mora3", "mora4", "mora6", "mora-truncation", "mora-decomposition",
    ],
    peftTypes: ["MORA", "LORA"],
    source: "Jiang et al. 2024 (2405.12130); types 1 to 4 and 6 as its code numbers them",
    leaves: ["mora_M", "lora_A.weight", "lora_B.weight"],
    settings: ["r", "mora_type", "mora_rank", "use_mora"], patterns: LoRAFactors.patterns,
    trainingSettings: ["lora_alpha", "lora_dropout", "fan_in_fan_out", "init_lora_weights"],
    remark: "α has no effect. Reads the official fork's files, which look like LoRA's.")

  /// How inputs share the columns of M and outputs its rows.
  public enum Kind: String, Sendable, CaseIterable {
    /// Inputs r' apart are summed; the outputs repeat M's.
    case one = "1"
    /// Neighbouring inputs are summed; neighbouring outputs are equal.
    case two = "2"
    /// Neighbouring inputs are summed; the outputs repeat M's.
    case three = "3"
    /// Inputs r' apart are summed; neighbouring outputs are equal.
    case four = "4"
    /// Blocks of r' inputs, rotated by an angle that grows with the block.
    case six = "6"
    /// The first r' inputs and outputs only.
    case truncation
    /// Blocks of r' inputs, not rotated.
    case decomposition

    var isBlockwise: Bool { self == .six || self == .decomposition }
  }

  private let layer: LayerGeometry
  private let leaf: String
  private let kind: Kind
  private let rank: Int
  /// M, `r' × r'`.
  private let matrix: [Float]

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    shapes["mora_M"] != nil || settings["use_mora"] == .bool(true)
  }

  private static func kind(_ settings: MethodSettings) throws(MethodError) -> Kind {
    let kind: Kind? =
      switch settings["mora_type"] {
      case nil: .one
      case .integer(let number): Kind(rawValue: String(number))
      case .text(let text): Kind(rawValue: text)
      case .some: nil
      }
    guard let kind else {
      throw .setting(
        name: "mora_type", reason: "must be 1, 2, 3, 4, 6, truncation or decomposition")
    }
    return kind
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let kind = try kind(settings)
    if let layer, layer.kind != .linear { throw .layer(reason: "MoRA needs a linear layer") }
    let isFork = shapes["mora_M"] == nil
    let leaf = isFork ? "lora_A.weight" : "mora_M"
    let rank = try shapes.required(leaf, dimensions: 2)[0]
    try shapes.expect(leaf, [rank, rank])
    // The fork stores the one matrix under both names.
    if isFork, shapes["lora_B.weight"] != nil { try shapes.expect("lora_B.weight", [rank, rank]) }
    guard rank > 0, kind != .six || rank.isMultiple(of: 2) else {
      throw .shape(leaf: leaf, found: [rank, rank], expected: "an even, positive size")
    }
    return ModuleSummary(rank: rank, scale: 1, trainableParameters: rank * rank)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(
      module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    kind = try Self.kind(module.settings)
    leaf = module.tensors["mora_M"] == nil ? "lora_A.weight" : "mora_M"
    rank = summary.rank ?? 0
    matrix = try module.tensor(leaf).reals
    if leaf == "lora_A.weight", let copy = module.tensors["lora_B.weight"], copy.reals != matrix {
      throw .values(
        leaf: "lora_B.weight", reason: "differs from lora_A.weight, of which it is a copy")
    }
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let maps = MoRAMaps(
      kind: kind, rank: rank, inFeatures: layer.inFeatures, outFeatures: layer.outFeatures)
    return RepeatedRowsUpdate(
      templates: maps.templates(matrix), templateOfRow: maps.output.positionOfFeature,
      columns: layer.inFeatures)
  }

  // MARK: Training

  /// r' of a budget of trained numbers: the nearest whole number to its root, for rotated blocks the
  /// next even one below.
  public static func squareRank(budget: Int, kind: Kind) -> Int {
    let rank = Int(Double(budget).squareRoot() + 0.5)
    return kind.isBlockwise ? rank & ~1 : rank
  }

  /// M is as large as LoRA's factors of rank `r` together; `mora_rank` gives r' itself.
  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let budget = (layer.inFeatures + layer.outFeatures) * (try settings.positive("r", default: 8))
    let fitting = squareRank(budget: budget, kind: try kind(settings))
    let rank = try settings.positive("mora_rank", default: max(fitting, 1))
    return [MethodTensor("mora_M", [rank, rank])]
  }

  /// M = 0.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    try startingTensors(start) { _ in 0 }
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    MoRALayer<Scalar>(
      maps: MoRAMaps(
        kind: kind, rank: rank, inFeatures: layer.inFeatures, outFeatures: layer.outFeatures),
      leaf: leaf)
  }
}

/// The fixed maps of a MoRA layer.
///
/// The input is padded with its own beginning to whole blocks of r'. Types 1 to 4 and truncation
/// compress it to one block; rotation and decomposition keep the blocks that reach the output.
struct MoRAMaps: Sendable {
  let kind: MoRA.Kind
  let rank: Int
  /// Blocks of r' numbers between the maps: 1 unless blockwise.
  let blocks: Int
  let input: FeatureMap
  let output: FeatureMap

  init(kind: MoRA.Kind, rank: Int, inFeatures: Int, outFeatures: Int) {
    self.kind = kind
    self.rank = rank
    let all = (inFeatures + rank - 1) / rank
    let padded = all * rank
    blocks = kind.isBlockwise ? min(all, (outFeatures + rank - 1) / rank) : 1
    input =
      switch kind {
      case .one, .four: FeatureMap(cyclic: padded, features: inFeatures, positions: rank)
      case .two, .three: FeatureMap(groupsOf: inFeatures, positions: rank)
      case .truncation:
        FeatureMap(cyclic: min(inFeatures, rank), features: inFeatures, positions: rank)
      case .six, .decomposition:
        FeatureMap(cyclic: blocks * rank, features: inFeatures, positions: blocks * rank)
      }
    output =
      switch kind {
      case .one, .three: FeatureMap(cyclic: outFeatures, features: outFeatures, positions: rank)
      case .two, .four: FeatureMap(groupsOf: outFeatures, positions: rank)
      case .truncation:
        FeatureMap(cyclic: min(outFeatures, rank), features: outFeatures, positions: rank)
      case .six, .decomposition:
        FeatureMap(cyclic: outFeatures, features: outFeatures, positions: blocks * rank)
      }
  }

  /// cos and sin of `k·10000^(−2j/r')`, blocks × r'/2: the rotation of block k.
  var rotation: (cosines: [Double], sines: [Double]) {
    var result: (cosines: [Double], sines: [Double]) = ([], [])
    guard kind == .six else { return result }
    for block in 0..<blocks {
      for j in 0..<rank / 2 {
        let angle = Double(block) * pow(10000, -2 * Double(j) / Double(rank))
        result.cosines.append(cos(angle))
        result.sines.append(sin(angle))
      }
    }
    return result
  }

  /// The rows that ΔW is made of: for block k and row a of M, `(M·R_k)_a` on the input features.
  /// Rotations are computed in f64 and rounded to f32; features that share a position twice, because
  /// the padding returns to them, get the sum.
  func templates(_ matrix: [Float]) -> [RepeatedRowsUpdate.Template] {
    let angles = rotation
    let half = rank / 2
    var result: [RepeatedRowsUpdate.Template] = []
    result.reserveCapacity(blocks * rank)
    for block in 0..<blocks {
      for row in 0..<rank {
        var values = Array(matrix[row * rank..<(row + 1) * rank])
        if kind == .six, block > 0 {
          for c in 0..<half {
            let (cosine, sine) = (angles.cosines[block * half + c], angles.sines[block * half + c])
            let (low, high) = (Double(values[c]), Double(values[c + half]))
            values[c] = Float(low * cosine + high * sine)
            values[c + half] = Float(high * cosine - low * sine)
          }
        }
        result.append(template(values, block: block))
      }
    }
    return result
  }

  private func template(_ values: [Float], block: Int) -> RepeatedRowsUpdate.Template {
    var values = values
    let features = input.features
    if kind.isBlockwise, rank <= features {
      return RepeatedRowsUpdate.Template(start: block * rank % features, values: values)
    }
    if kind == .truncation, rank <= features {
      return RepeatedRowsUpdate.Template(start: 0, values: values)
    }
    // One block, or one that goes round the whole input.
    let map =
      kind.isBlockwise
      ? FeatureMap(cyclic: rank, features: features, positions: rank) : input
    var row = [Float](repeating: 0, count: features)
    row.withUnsafeMutableBufferPointer { row in
      values.withUnsafeMutableBufferPointer { map.spread($0, addingTo: row) }
    }
    return RepeatedRowsUpdate.Template(start: 0, values: row)
  }
}

/// MoRA on one linear layer: `y = W0·x + b0 + decompress(M·compress(x))`.
///
/// Kept: the compressed input, tokens × blocks·r'.
struct MoRALayer<Scalar: TrainingScalar>: AdapterLayer {
  private let maps: MoRAMaps
  private let leaf: String
  /// cos, sin and −sin of every block and pair; empty unless the blocks are rotated.
  private let cosines: FrozenMatrix<Scalar>?
  private let sines: FrozenMatrix<Scalar>?
  private let backSines: FrozenMatrix<Scalar>?

  init(maps: MoRAMaps, leaf: String) {
    self.maps = maps
    self.leaf = leaf
    guard maps.kind == .six else {
      (cosines, sines, backSines) = (nil, nil, nil)
      return
    }
    let angles = maps.rotation
    func table(_ values: [Double]) -> FrozenMatrix<Scalar> {
      FrozenMatrix(values.map { Scalar($0) }, rows: 1, columns: values.count)
    }
    cosines = table(angles.cosines)
    sines = table(angles.sines)
    backSines = table(angles.sines.map { -$0 })
  }

  private var rank: Int { maps.rank }

  var parameters: [TrainableTensor] { [TrainableTensor(leaf, [rank, rank])] }
  var needsInput: Bool { false }
  func keptCount(tokens: Int) -> Int { tokens * maps.blocks * rank }

  /// Rotates every block of `hidden`, or rotates it back.
  private func rotate(_ hidden: MatrixView<Scalar>, back: Bool) {
    guard let cosines, let sines = back ? backSines : sines else { return }
    let tokens = perToken(hidden)
    cosines.withMatrix { cosines in
      sines.withMatrix { sines in
        for token in 0..<tokens.rows {
          Scalar.rotate(tokens[token], half: rank / 2, cosines: cosines[0], sines: sines[0])
        }
      }
    }
  }

  private func m(_ view: ParameterView<Scalar>) -> MatrixView<Scalar> {
    view.matrix(rows: rank, columns: rank)
  }

  /// The same numbers as one row per token, and as one row per block.
  private func perToken(_ hidden: MatrixView<Scalar>) -> MatrixView<Scalar> {
    MatrixView(hidden.start, rows: hidden.rows / maps.blocks, columns: maps.blocks * rank)
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let hidden = pass.kept(rows: input.rows * maps.blocks, columns: rank)
    for token in 0..<input.rows { maps.input.collect(input[token], into: perToken(hidden)[token]) }
    rotate(hidden, back: false)
    let product = pass.workspace.matrix(rows: hidden.rows, columns: rank)
    pass.products.multiply(hidden, m(pass.parameters).transposed, into: product)
    for token in 0..<output.rows {
      maps.output.spread(perToken(product)[token], addingTo: output[token])
    }
  }

  /// With Gv the output gradients collected on M's outputs: `dM = Gvᵀ·U`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let tokens = outputGradient.rows
    let hidden = pass.kept(rows: tokens * maps.blocks, columns: rank)
    let collected = pass.workspace.matrix(rows: hidden.rows, columns: rank)
    for token in 0..<tokens {
      maps.output.collect(outputGradient[token], into: perToken(collected)[token])
    }
    pass.products.add(collected.transposed, hidden, to: m(gradients))
    pass.products.multiply(collected, m(pass.parameters), into: hidden)
    rotate(hidden, back: true)
  }

  /// `dX += compressᵀ(Gv·M)`; `backward` left the argument in the place of the compressed input.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let hidden = pass.kept(rows: inputGradient.rows * maps.blocks, columns: rank)
    for token in 0..<inputGradient.rows {
      maps.input.spread(perToken(hidden)[token], addingTo: inputGradient[token])
    }
  }
}
