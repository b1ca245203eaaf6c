import Kernels
import Safetensors

/// The tensors of one layer: weight, bias, and the constants of a quantized weight.
struct WeightGroup {
  let module: String
  private(set) var weight: TensorInfo?
  private(set) var bias: TensorInfo?
  private(set) var constantBytes = 0
  /// bitsandbytes' description of a weight in 4 bits.
  private(set) var state: TensorInfo?

  init(module: String) {
    self.module = module
  }

  /// Codes of 4 bits and 8 bits are weights; everything else beside them describes the codes.
  mutating func add(_ tensor: TensorInfo, as part: Part) {
    switch part {
    case .weight: weight = tensor
    case .bias: bias = tensor
    case .constant:
      constantBytes += tensor.byteCount
      if tensor.name.contains(".quant_state.") {
        state = tensor
        constantBytes -= tensor.byteCount
      }
    }
  }

  enum Part { case weight, bias, constant }

  var weightBytes: Int { weight?.byteCount ?? 0 }
  var biasBytes: Int { bias?.byteCount ?? 0 }

  var element: ElementType {
    switch weight?.dtype {
    case .f16?: .f16
    case .bf16?: .bf16
    default: .f32
    }
  }

  /// The shape of the weight before it was packed.
  func logicalShape(in checkpoint: Checkpoint) throws(EstimateError) -> [Int] {
    guard let state, let tensor = checkpoint[state.name] else {
      // The dimensions of an empty tensor have no meaning.
      return weight?.elementCount == 0 ? [0] : weight?.shape ?? []
    }
    let bytes: [UInt8]
    do throws(SafetensorsError) {
      bytes = try checkpoint.read(tensor)
    } catch { throw .checkpoint(.shard(path: checkpoint.path, error)) }
    guard let json = try? JSONValue.parse(bytes, allowsNonFinite: true),
      let shape = json["shape"]?.array?.compactMap(\.int), !shape.isEmpty,
      shape.allSatisfy({ $0 >= 0 }),
      let count = Self.product(shape), (count + 1) / 2 == weightBytes
    else { throw .quantizationState(tensor: state.name) }
    return shape
  }

  private static func product(_ shape: [Int]) -> Int? {
    var product = 1
    for dimension in shape {
      let (value, overflow) = product.multipliedReportingOverflow(by: dimension)
      if overflow { return nil }
      product = value
    }
    return product
  }

  private var lastSegment: Substring { module.split(separator: ".").last ?? "" }

  /// Names that tables of tokens, positions and the like have.
  private static let tables: Set<Substring> = [
    "embed_tokens", "wte", "wpe", "word_embeddings", "position_embeddings",
    "token_type_embeddings", "embed_positions", "embed_in", "tok_embeddings", "shared",
    "token_embedding", "position_embedding", "embedding_table", "relative_attention_bias",
  ]

  /// What kind of layer name and shape speak of.
  func kind(shape: [Int]) -> LayerGeometry.Kind {
    guard weight?.name.hasSuffix(".weight") == true else { return .parameter }
    switch shape.count {
    case 1: return .normalization
    case 2: return Self.tables.contains(lastSegment) ? .embedding : .linear
    case 3...5: return .convolution
    default: return .parameter
    }
  }

  /// Whether the weight is stored `in × out`: the names of GPT-2's layers are its own.
  var isConv1D: Bool {
    ["c_attn", "c_proj", "c_fc"].contains(lastSegment) && module.split(separator: ".").contains("h")
  }

  var isOutputHead: Bool { ["lm_head", "embed_out"].contains(lastSegment) }
}

/// The tensors of a checkpoint, layer by layer in the order of the first tensor of each.
struct WeightGroups {
  private(set) var groups: [WeightGroup] = []
  private var positions: [String: Int] = [:]

  /// Constants that bitsandbytes stores beside a quantized weight.
  private static let constants = [
    ".weight.absmax", ".weight.nested_absmax", ".weight.quant_map", ".weight.nested_quant_map",
    ".SCB", ".weight_format",
  ]

  mutating func add(_ tensor: TensorInfo) {
    let (module, part) = Self.parse(tensor.name)
    let position: Int
    if let known = positions[module] {
      position = known
    } else {
      position = groups.count
      positions[module] = position
      groups.append(WeightGroup(module: module))
    }
    groups[position].add(tensor, as: part)
  }

  private static func parse(_ name: String) -> (module: String, part: WeightGroup.Part) {
    for suffix in constants where name.hasSuffix(suffix) {
      return (String(name.dropLast(suffix.count)), .constant)
    }
    if let range = name.firstRange(of: ".weight.quant_state.") {
      return (String(name[..<range.lowerBound]), .constant)
    }
    if name.hasSuffix(".weight") { return (String(name.dropLast(7)), .weight) }
    if name.hasSuffix(".bias") { return (String(name.dropLast(5)), .bias) }
    return (name, .weight)
  }
}
