import Adapters
import Kernels
import Safetensors

/// Taking changes away again by arithmetic.
extension UnmergePlan {
  init(subtracting request: UnmergeRequest) throws {
    let merged = try BaseModel(path: request.merged)
    if try merged.quantized() != nil { throw UndoError.quantized(path: request.merged) }
    let checkpoint = merged.checkpoint
    var merge = MergeRequest(
      base: request.merged, adapters: request.adapters, output: request.output,
      threads: request.threads)
    merge.allowsUnused = request.allowsUnused
    merge.baseIsResidual = request.baseIsResidual
    merge.ignoredSettings = request.ignoredSettings
    let adapters = try request.adapters.map {
      try AdapterContents(AdapterFile(path: $0.path), baseIsResidual: request.baseIsResidual)
    }
    for adapter in adapters { try MergePlan.check(adapter, merge) }
    var builder = MergePlanBuilder(
      request: merge, base: merged,
      bindings: try MergePlan.bindings(of: adapters, to: merged, merge))
    try builder.addChanges()
    let planned = try builder.plannedTensors()
    if let missing = builder.added.first {
      throw UndoError.otherModel(path: request.merged, tensor: missing)
    }
    let changes = Dictionary(
      builder.merged.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let kept = changes.values.filter { !$0.isReversible(in: checkpoint) }.map(\.name)
    guard kept.isEmpty || request.keepsReplaced else {
      throw UndoError.replaced(tensors: kept.sorted(by: NaturalOrder.precedes))
    }

    let shards = planned.map { shard in
      shard.map { tensor in
        var source = tensor.source
        if let change = changes[tensor.name], let found = checkpoint[tensor.name] {
          let file = checkpoint.file(of: found)
          let offset = file.absoluteRange(of: found.info).lowerBound
          source =
            kept.contains(tensor.name)
            ? CopiedTensor(file: file.file, offset: offset)
            : ReversedTensor(change)
        }
        return PlannedTensor(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, source: source)
      }
    }
    self.init(
      request, record: nil,
      model: try OutputModel.arrange(
        shards: shards, names: checkpoint.shardNames, indexName: checkpoint.indexName,
        indexMetadata: checkpoint.index?["metadata"]?.object ?? JSONObject(),
        metadata: checkpoint.shards.map {
          $0.header.metadataEntries ?? [(key: "format", value: "pt")]
        },
        layout: .asInput),
      merged: checkpoint, restored: changes.keys.filter { !kept.contains($0) },
      copied: checkpoint.tensors.count - changes.count + kept.count, kept: kept)
  }
}

extension MergedTensor {
  /// Whether nothing of the tensor was replaced.
  fileprivate func isReversible(in checkpoint: Checkpoint) -> Bool {
    guard let rows = base as? FileRows, checkpoint.shards.contains(where: { $0.file === rows.file })
    else { return false }
    return changes.allSatisfy { change in
      switch change {
      case .weight, .bias: true
      case .tokenRows, .replacement: false
      }
    }
  }
}
