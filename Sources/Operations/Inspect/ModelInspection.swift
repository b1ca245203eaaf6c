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
  /// What is wrong with quantized weights.
  public let weightProblems: [QuantizedProblem]

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
    let base = try? BaseModel(path: path)
    modelType = base?.modelType
    quantization = base.flatMap(Self.quantization(of:))
    problems = checkpoint.problems
    weightProblems = base.map { QuantizedModel($0).problems } ?? []
  }

  public var parameters: Int { elements.reduce(0) { $0 + $1.count } }
  public var bytes: Int { tensors.reduce(0) { $0 + $1.bytes } }
  /// Whether nothing about the files is contradictory.
  public var isSound: Bool { !problems.contains(where: \.isFatal) && weightProblems.isEmpty }

  /// The method by which the model is quantized; nil for none.
  static func quantization(of base: BaseModel) -> String? {
    for type in QuantizedWeightReader.types
    where base.tensors.contains(where: { $0.name.hasSuffix("quant_state.bitsandbytes__" + type) }) {
      return "bitsandbytes " + type
    }
    if base.tensors.contains(where: { $0.name.hasSuffix(".SCB") }) { return "bitsandbytes int8" }
    guard let config = base.config?["quantization_config"], !config.isNull else { return nil }
    return config["quant_method"]?.string ?? "unknown"
  }
}
