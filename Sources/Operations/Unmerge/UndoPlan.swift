import Safetensors

/// How every tensor of a base comes back from a merge that is about to be made.
struct UndoPlan: Sendable {
  enum Return: Sendable {
    /// The output has it unchanged, under the name `source`.
    case same(source: String)
    /// A merged tensor notes what is needed.
    case recorded(MergedTensor)
    /// Nothing in the output was made from it.
    case original
  }

  /// The tensors of `checkpoint`, in their order.
  let tensors: [(tensor: Checkpoint.Tensor, return: Return)]

  /// - Parameter model: what the merge of `checkpoint` will write.
  init(_ model: OutputModel, of checkpoint: Checkpoint) {
    var copies: [Place: String] = [:]
    var changes: [Place: MergedTensor] = [:]
    for shard in model.plan.shards {
      for (tensor, source) in zip(shard.layout.tensors, shard.sources) {
        if let (file, offset) = source.copied {
          let place = Place(file: file.path, offset: offset)
          // Repeated layers have several copies: one will do, that of the same name for choice.
          let isOwnName = checkpoint[tensor.name].map { Place($0, in: checkpoint) } == place
          if copies[place] == nil || isOwnName { copies[place] = tensor.name }
        } else if let merged = source as? MergedTensor, merged.recorder != nil,
          let rows = merged.base as? FileRows
        {
          changes[Place(file: rows.file.path, offset: rows.offset)] = merged
        }
      }
    }
    tensors = checkpoint.tensors.map { tensor in
      let place = Place(tensor, in: checkpoint)
      // Empty tensors share their place with others.
      if tensor.info.byteCount == 0 { return (tensor, .original) }
      if let source = copies[place] { return (tensor, .same(source: source)) }
      if let merged = changes[place] { return (tensor, .recorded(merged)) }
      return (tensor, .original)
    }
  }

  /// Refuses merges that cannot be recorded.
  ///
  /// - Parameter files: the files that the merge writes.
  static func check(_ request: MergeRequest, files: [String]) throws {
    if request.output.hasSuffix(".safetensors") {
      throw UndoError.outputMustBeFolder(path: request.output)
    }
    if request.element != nil { throw UndoError.elementTypeChanges }
    if files.contains(UndoRecordLayout.fileName) {
      throw UndoError.nameTaken(path: UndoRecordLayout.fileName)
    }
  }

  /// Where a tensor's bytes are read.
  private struct Place: Hashable {
    let file: String
    let offset: Int

    init(file: String, offset: Int) {
      self.file = file
      self.offset = offset
    }

    init(_ tensor: Checkpoint.Tensor, in checkpoint: Checkpoint) {
      let file = checkpoint.file(of: tensor)
      self.init(file: file.path, offset: file.absoluteRange(of: tensor.info).lowerBound)
    }
  }
}
