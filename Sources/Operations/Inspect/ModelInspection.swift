import Adapters
import Safetensors

/// What a model holds, from its headers.
public struct ModelInspection: Sendable {
  public struct Tensor: Sendable {
    public let name: String
    public let dtype: DType
    public let shape: [Int]
    public let file: String
    /// From the start of the file.
    public let offset: Int
    public let bytes: Int
  }

  public let path: String
  /// In natural order of the names.
  public let tensors: [Tensor]
  public let shards: [String]
  /// Elements by stored type, in the order of the types.
  public let elements: [(dtype: DType, count: Int)]
  /// `quant_method` of the configuration, in words: nil where the model is not quantized.
  public let quantization: String?
  public let modelType: String?
  public let problems: [CheckpointProblem]

  /// Reads the headers of the model at `path`; contradictions between files become problems.
  public init(path: String) throws {
    let checkpoint = try Checkpoint(path: path, tolerant: true)
    var tensors: [Tensor] = []
    for tensor in checkpoint.tensors {
      let file = checkpoint.file(of: tensor)
      tensors.append(
        Tensor(
          name: tensor.name, dtype: tensor.info.dtype, shape: tensor.info.shape,
          file: checkpoint.shardNames[tensor.shard],
          offset: file.absoluteRange(of: tensor.info).lowerBound, bytes: tensor.info.byteCount))
    }
    self.path = path
    self.tensors = tensors.sorted { NaturalOrder.precedes($0.name, $1.name) }
    shards = checkpoint.shardNames
    elements = DType.allCases.compactMap { dtype in
      let count = tensors.filter { $0.dtype == dtype }.reduce(0) {
        $0 + $1.shape.reduce(1, *)
      }
      return count > 0 ? (dtype, count) : nil
    }
    let config = try? BaseModel(path: path).config
    modelType = config?["model_type"]?.string
    quantization = Self.quantization(config?["quantization_config"], tensors: tensors)
    problems = checkpoint.problems
  }

  public var parameters: Int { elements.reduce(0) { $0 + $1.count } }
  public var bytes: Int { tensors.reduce(0) { $0 + $1.bytes } }
  /// Whether nothing about the files is contradictory.
  public var isSound: Bool { !problems.contains(where: \.isFatal) }

  private static func quantization(_ config: JSONValue?, tensors: [Tensor]) -> String? {
    if tensors.contains(where: { $0.name.hasSuffix("quant_state.bitsandbytes__nf4") }) {
      return "bitsandbytes nf4"
    }
    if tensors.contains(where: { $0.name.hasSuffix("quant_state.bitsandbytes__fp4") }) {
      return "bitsandbytes fp4"
    }
    if tensors.contains(where: { $0.name.hasSuffix(".SCB") }) { return "bitsandbytes int8" }
    guard let config, !config.isNull else { return nil }
    return config["quant_method"]?.string ?? "unknown"
  }
}
