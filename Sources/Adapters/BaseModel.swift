import Kernels
import Safetensors

/// A base model: its tensors and what `config.json` says of its architecture.
public struct BaseModel: Sendable {
  /// One tensor of the model, and where its bytes are.
  public struct Tensor: Sendable {
    public var name: String
    /// The shard that holds the bytes.
    public let shard: Int
    public let info: TensorInfo

    public init(name: String, shard: Int, info: TensorInfo) {
      (self.name, self.shard, self.info) = (name, shard, info)
    }

    public var shape: [Int] { info.shape }
    public var dtype: DType { info.dtype }

    /// The tensor is an output head of its own.
    public var isOutputHead: Bool {
      ["lm_head.weight", "embed_out.weight"].contains { name == $0 || name.hasSuffix("." + $0) }
    }

    /// The tensor is the table of the input tokens.
    public var isInputEmbedding: Bool {
      Architecture.inputEmbeddings.contains {
        name == $0 + ".weight" || name.hasSuffix("." + $0 + ".weight")
      }
    }
  }

  public let checkpoint: Checkpoint
  /// `config.json`; nil for a bare file.
  public let config: JSONObject?
  /// Shard by shard, in the order of the files.
  public let tensors: [Tensor]
  private let byName: [String: Int]

  public init(path: String) throws {
    let checkpoint = try Checkpoint(path: path)
    var config: JSONObject?
    let configPath = FileSystem.join(checkpoint.folder, "config.json")
    if FileSystem.isRegularFile(configPath) {
      let bytes = try InputFile(path: configPath).readAll()
      do {
        config = try JSONValue.parse(bytes, allowsNonFinite: true).object
      } catch {
        throw AdapterError.configuration(
          path: configPath, reason: "it is not JSON: \(error.reason)")
      }
    }
    var tensors: [Tensor] = []
    for (shard, file) in checkpoint.shards.enumerated() {
      for info in file.header.tensors {
        tensors.append(Tensor(name: info.name, shard: shard, info: info))
      }
    }
    self.init(checkpoint: checkpoint, config: config, tensors: tensors)
  }

  /// The model of `tensors` over the bytes of `checkpoint`.
  init(checkpoint: Checkpoint, config: JSONObject?, tensors: [Tensor]) {
    self.checkpoint = checkpoint
    self.config = config
    self.tensors = tensors
    byName = Dictionary(
      tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The model with other tensors over the same bytes.
  public func replacingTensors(_ tensors: [Tensor]) -> BaseModel {
    BaseModel(checkpoint: checkpoint, config: config, tensors: tensors)
  }

  /// The model with another `config.json`.
  public func replacingConfig(_ config: JSONObject?) -> BaseModel {
    BaseModel(checkpoint: checkpoint, config: config, tensors: tensors)
  }

  public func tensor(_ name: String) -> Tensor? {
    byName[name].map { tensors[$0] }
  }

  public func contains(_ name: String) -> Bool { byName[name] != nil }

  /// `model_type` of `config.json`: `llama`, `gpt2`, ….
  public var modelType: String? {
    if case .string(let type)? = config?["model_type"] { type } else { nil }
  }

  /// Whether input and output embeddings are one tensor. Models that do not say are tied where
  /// transformers' default says so.
  public var tiesEmbeddings: Bool {
    for object in [config, textConfig] {
      if case .bool(let tied)? = object?["tie_word_embeddings"] { return tied }
    }
    return Architecture.tiesByDefault(modelType)
  }

  /// Whether `tensor` is the weight of a linear layer that this family stores `in × out`.
  public func storesTransposed(_ tensor: String) -> Bool {
    guard tensor.hasSuffix(".weight") else { return false }
    return Architecture.storesTransposed(
      modelType: modelType, module: String(tensor.dropLast(".weight".count))) ?? false
  }

  var textConfig: JSONObject? {
    if case .object(let object)? = config?["text_config"] { object } else { nil }
  }
}
