/// BD-LoRA: LoRA with a block-diagonal A or B, of which only the blocks are stored: A (r, in/n) as n blocks
/// of r/n rows, or B (out, r/n) as n blocks of out/n rows.
///
/// Source: PEFT, `use_bdlora`.
public struct BdLoRA: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "BD-LoRA", names: ["bdlora"], peftTypes: ["LORA"], source: "PEFT, use_bdlora",
    roundedTwiceInPEFT: true, leaves: ["lora_A.weight", "lora_B.weight", "lora_B.bias"],
    ignoredLeaves: LoRA.descriptor.ignoredLeaves,
    settings: LoRAFactors.settings + ["use_bdlora"], patterns: LoRAFactors.patterns,
    trainingSettings: LoRAFactors.trainingSettings)

  private let plain: LoRA

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    settings["use_bdlora"] != nil
  }

  /// Which factor is stored in blocks, and the shapes of the whole factors.
  private struct Form {
    var blocks: Int
    var isBlockedA = false
    var isBlockedB = false
    var shapes: [String: [Int]]

    init(
      _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
    ) throws(MethodError) {
      guard case .table(let table)? = settings["use_bdlora"],
        case .integer(let blocks)? = table.first(where: { $0.key == "nblocks" })?.value, blocks > 0
      else { throw .setting(name: "use_bdlora", reason: "needs nblocks") }
      self.blocks = blocks
      self.shapes = shapes
      let a = try shapes.required("lora_A.weight", dimensions: 2)
      let b = try shapes.required("lora_B.weight", dimensions: 2)
      if b[1] * blocks == a[0], blocks > 1 {
        guard b[0].isMultiple(of: blocks) else {
          throw .shape(leaf: "lora_B.weight", found: b, expected: "rows in \(blocks) blocks")
        }
        isBlockedB = true
        self.shapes["lora_B.weight"] = [b[0], a[0]]
      } else if let layer, a[1] * blocks == layer.inFeatures, blocks > 1 {
        guard a[0].isMultiple(of: blocks) else {
          throw .shape(leaf: "lora_A.weight", found: a, expected: "rows in \(blocks) blocks")
        }
        isBlockedA = true
        self.shapes["lora_A.weight"] = [a[0], layer.inFeatures]
      }
    }
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let form = try Form(shapes, settings: settings, layer: layer)
    var summary = try LoRA.examine(form.shapes, settings: settings, layer: layer)
    summary.trainableParameters = shapes.elements(of: descriptor.leaves)
    return summary
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let form = try Form(module.shapes, settings: module.settings, layer: module.layer)
    var whole = module
    for (leaf, isBlocked) in [
      ("lora_A.weight", form.isBlockedA), ("lora_B.weight", form.isBlockedB),
    ] where isBlocked {
      whole.tensors[leaf] = Self.expanded(try module.tensor(leaf), blocks: form.blocks)
    }
    plain = try LoRA(whole)
  }

  /// `(rows, columns)` as blocks of `rows/n` rows, set along the diagonal.
  private static func expanded(_ tensor: AdapterTensor, blocks: Int) -> AdapterTensor {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    let values = tensor.reals
    var result = [Float](repeating: 0, count: rows * columns * blocks)
    for row in 0..<rows {
      let start = row * columns * blocks + row / (rows / blocks) * columns
      result.replaceSubrange(
        start..<start + columns, with: values[row * columns..<(row + 1) * columns])
    }
    return AdapterTensor(shape: [rows, columns * blocks], result)
  }

  public func weightUpdate() -> (any WeightUpdate)? { plain.weightUpdate() }
  public func biasUpdate() -> (any BiasUpdate)? { plain.biasUpdate() }
}
