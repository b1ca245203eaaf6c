import Safetensors

/// How an operation's tensors are divided among files.
enum ShardLayout: Sendable, Equatable {
  /// As the input's.
  case asInput
  /// Shards of at most so many bytes (huggingface_hub's rule).
  case limited(Int)
}

/// The files of an output model, before they are written.
struct OutputModel: Sendable {
  let plan: OutputPlan
  /// `model.safetensors.index.json` and its text; nil for a single file.
  let index: (name: String, text: String)?

  /// The tensors of a model, in files.
  ///
  /// - Parameters:
  ///   - shards: the tensors, file by file, as the input had them.
  ///   - names: the input's file names.
  ///   - indexName: the input's index.
  ///   - indexMetadata: what the index says besides the size.
  ///   - metadata: `__metadata__` of every file.
  ///   - unit: tensors with the same unit stay in one file.
  static func arrange(
    shards: [[PlannedTensor]], names: [String], indexName: String?, indexMetadata: JSONObject,
    metadata: [[(key: String, value: String)]], layout: ShardLayout,
    unit: (String) -> String = { $0 }
  ) throws -> OutputModel {
    var files: [(name: String, tensors: [PlannedTensor], metadata: [(key: String, value: String)])]
    let newIndexName: String?
    switch layout {
    case .asInput:
      files = zip(zip(names, shards), metadata).map { ($0.0, $0.1, $1) }
      newIndexName = indexName
    case .limited(let size):
      let tensors = shards.flatMap { $0 }
      let plan = ShardPlan(
        tensors: try tensors.map { ($0.name, try $0.byteCount) }, maximumShardSize: size, unit: unit
      )
      files = plan.shards.map { shard in
        (shard.name, shard.tensors.map { tensors[$0] }, metadata.first ?? [])
      }
      newIndexName = plan.indexName
    }
    var planned: [OutputPlan.Shard] = []
    var map: [(tensor: String, shard: String)] = []
    var total = 0
    for file in files {
      let size = try file.tensors.reduce(0) { $0 + (try $1.byteCount) }
      let layout = try SafetensorsLayout(
        tensors: file.tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: file.metadata,
        // Large files are written in blocks that copy from aligned places to aligned places.
        dataAlignment: size >= 1 << 20 ? DirectFile.alignment : 8)
      let sources = Dictionary(
        file.tensors.map { ($0.name, $0.source) }, uniquingKeysWith: { first, _ in first })
      planned.append(
        OutputPlan.Shard(
          name: file.name, layout: layout,
          sources: layout.tensors.compactMap { sources[$0.name] }))
      map += file.tensors.map { ($0.name, file.name) }
      total += size
    }
    let index = newIndexName.map { name in
      (
        name: name,
        text: ShardPlan.index(shardOfTensor: map, totalSize: total, metadata: indexMetadata)
      )
    }
    return OutputModel(plan: OutputPlan(shards: planned), index: index)
  }
}
