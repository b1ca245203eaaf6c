/// Why a path is not a model that can be read.
public enum CheckpointError: Error, Equatable, Sendable {
  /// Nothing is at the path.
  case notFound(path: String)
  /// The folder holds no weights.
  case noWeights(folder: String)
  /// The weights are in a format that is not read: `pytorch_model.bin`, `model.gguf`.
  case unsupportedWeights(path: String)
  /// The folder holds several weight files, none of which has the name of a model.
  case ambiguous(folder: String, candidates: [String])
  case file(FileError)
  /// A weight file is not sound.
  case shard(path: String, SafetensorsError)
  /// The index is not JSON.
  case indexNotJSON(path: String, JSONError)
  /// The index is no object, or its `weight_map` no object of strings.
  case malformedIndex(path: String)
  /// The index names a file outside the folder.
  case shardOutsideFolder(index: String, shard: String)
  /// The index names these files, which do not exist.
  case missingShards(folder: String, shards: [String])
  /// The index and the shards contradict each other.
  case inconsistent(path: String, [CheckpointProblem])
}

/// What is wrong with a model whose files are each sound.
public enum CheckpointProblem: Equatable, Sendable {
  /// The index has the tensor in `shard`, and it is in another.
  case wrongShard(tensor: String, stated: String, actual: String)
  /// The index has the tensor in `shard`, and no shard has it.
  case absentTensor(tensor: String, shard: String)
  /// Two shards have the tensor.
  case duplicateTensor(tensor: String, shards: [String])
  /// The index has the tensor twice, in different shards.
  case ambiguousEntry(tensor: String)
  /// A shard has the tensor, the index has not.
  case unlistedTensor(tensor: String, shard: String)
  /// The index has no `metadata`, without which some readers fail.
  case missingIndexMetadata
  /// The index states another size than the tensors have together.
  case wrongTotalSize(stated: Double, actual: Int)
  /// The folder also has this index, which no reader looks at beside a `model.safetensors`.
  case shadowedIndex(String)

  /// Whether it is open which bytes a tensor has, so that the model cannot be worked on.
  public var isFatal: Bool {
    switch self {
    case .wrongShard, .absentTensor, .duplicateTensor, .ambiguousEntry: true
    case .unlistedTensor, .missingIndexMetadata, .wrongTotalSize, .shadowedIndex: false
    }
  }
}
