import Adapters
import Safetensors

/// One side of a comparison: a model as it is stored, or the model that a merge would store.
public struct DiffOperand: Sendable, Equatable {
  /// A model or an adapter.
  public let path: String
  /// Adapters to merge into the model at `path`; none to take it as it is.
  public let adapters: [WeightedAdapter]

  public init(path: String, adapters: [WeightedAdapter] = []) {
    self.path = path
    self.adapters = adapters
  }
}

/// One tensor of a side, and where its bytes come from.
struct ComparedTensor: Sendable {
  let name: String
  let dtype: DType
  let shape: [Int]
  let source: any TensorSource
  /// A linear weight stored `in × out`: its output features are columns.
  var storedTransposed = false
  /// How the weight is quantized in the file; nil for one that is stored as it is compared.
  var encoding: String?
}

/// The tensors of one side, in the order of its files.
struct ComparedModel: Sendable {
  let tensors: [ComparedTensor]
  private let positions: [String: Int]

  init(_ tensors: [ComparedTensor]) {
    self.tensors = tensors
    positions = Dictionary(
      tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  subscript(name: String) -> ComparedTensor? { positions[name].map { tensors[$0] } }

  /// The tensors of one safetensors file.
  init(_ file: SafetensorsFile) {
    self.init(
      file.header.tensors.map { info in
        ComparedTensor(
          name: info.name, dtype: info.dtype, shape: info.shape,
          source: CopiedTensor(
            file: file.file, offset: file.absoluteRange(of: info).lowerBound))
      })
  }

  /// A model as it is stored.
  init(_ model: BaseModel) {
    self.init(
      model.tensors.map { tensor in
        let shard = model.checkpoint.shards[tensor.shard]
        return ComparedTensor(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
          source: CopiedTensor(
            file: shard.file, offset: shard.absoluteRange(of: tensor.info).lowerBound),
          storedTransposed: model.storesTransposed(tensor.name))
      })
  }

  /// The tensors that a merge would write, computed when they are read.
  init(_ plan: MergePlan) {
    self.init(
      plan.model.plan.shards.flatMap { shard in
        zip(shard.layout.tensors, shard.sources).map { info, source in
          ComparedTensor(
            name: info.name, dtype: info.dtype, shape: info.shape, source: source,
            storedTransposed: plan.base.storesTransposed(info.name))
        }
      })
  }
}
