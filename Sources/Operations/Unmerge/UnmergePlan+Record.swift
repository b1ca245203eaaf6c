import Adapters
import Kernels
import Safetensors

/// Following a record.
extension UnmergePlan {
  init(_ request: UnmergeRequest, record: UndoRecord) throws {
    let manifest = record.manifest
    try Self.compare(request.adapters, with: record)
    let merged = try BaseModel(path: request.merged)
    try Self.compare(merged.checkpoint, with: record)
    let files = try manifest.files.map { ($0.name, try record.contents(of: $0.name)) }
    let base = try Self.base(on: merged, record, files: files)
    let changes = try Self.changes(request, of: base, manifest)

    let entries = Dictionary(
      manifest.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var checks = Checks()
    var shards: [OutputPlan.Shard] = []
    for shard in record.shards {
      var sources: [any TensorSource] = []
      for info in shard.header.tensors {
        guard let entry = entries[info.name] else { continue }
        checks.output[info.name] = entry.checksum
        let rows = entry.source.flatMap { merged.checkpoint.rows(of: $0, like: changes[$0]) }
        if entry.coding == .same, let rows {
          sources.append(CopiedTensor(file: rows.file, offset: rows.offset))
        } else {
          let content = try Self.content(entry, info, rows, changes, record)
          let tensor = try RestoredTensor(
            entry, byteCount: info.byteCount, content: content, record: record)
          checks.restored.append(tensor)
          sources.append(tensor)
        }
      }
      shards.append(
        OutputPlan.Shard(
          name: shard.name,
          layout: SafetensorsLayout(header: shard.header, leadingBytes: shard.leadingBytes),
          sources: sources))
    }
    checks.others = manifest.others
    self.init(
      request, record: record,
      model: OutputModel(plan: OutputPlan(shards: shards), index: nil), checks: checks,
      merged: merged.checkpoint, restored: checks.restored.map(\.name),
      dropped: manifest.others.map(\.name).filter { entries[$0] == nil },
      copied: manifest.tensors.count - checks.restored.count, files: files,
      droppedFiles: manifest.dropped)
  }

  /// What a chunk of a tensor is decoded with.
  private static func content(
    _ entry: UndoManifest.Tensor, _ info: TensorInfo, _ rows: FileRows?,
    _ changes: [String: MergedTensor], _ record: UndoRecord
  ) throws -> RestoredTensor.Content {
    switch entry.coding {
    case .original: return .original(elementSize: max(1, info.dtype.bits / 8))
    case .difference:
      if let rows, let element = ElementType(info.dtype) { return .difference(rows, element) }
    case .candidates:
      if let rows, let change = entry.source.flatMap({ changes[$0] }) {
        return .candidates(change, rows)
      }
    case .same: break
    }
    throw UndoError.otherModel(path: record.path, tensor: entry.source ?? entry.name)
  }

  // MARK: - What belongs together

  /// Refuses adapters that are not those of the record.
  private static func compare(_ adapters: [WeightedAdapter], with record: UndoRecord) throws {
    let recorded = record.manifest.adapters
    guard recorded.count == adapters.count else {
      throw UndoError.adapterCount(
        path: record.path, recorded: recorded.count, given: adapters.count)
    }
    for (adapter, recorded) in zip(adapters, recorded) {
      let identity = try AdapterIdentity(AdapterFile(path: adapter.path))
      let difference: UndoError.AdapterDifference? =
        if identity.tensors != recorded.identity.tensors {
          .tensors
        } else if identity.configuration != recorded.identity.configuration {
          .configuration
        } else if adapter.weight != recorded.weight {
          .weight(recorded: recorded.weight, given: adapter.weight)
        } else {
          nil
        }
      if let difference {
        throw UndoError.otherAdapter(
          path: record.path, adapter: adapter.path, difference: difference)
      }
    }
  }

  /// Refuses a model that does not have the record's tensors.
  private static func compare(_ merged: Checkpoint, with record: UndoRecord) throws {
    let infos = Dictionary(
      record.shards.flatMap(\.header.tensors).map { ($0.name, $0) },
      uniquingKeysWith: { first, _ in first })
    var known = Set(record.manifest.others.map(\.name))
    for entry in record.manifest.tensors {
      guard let source = entry.source else { continue }
      known.insert(source)
      guard let found = merged[source]?.info, let info = infos[entry.name],
        found.dtype == info.dtype, found.shape == info.shape
      else { throw UndoError.otherModel(path: record.path, tensor: source) }
    }
    for name in known.sorted() where merged[name] == nil {
      throw UndoError.otherModel(path: record.path, tensor: name)
    }
    for tensor in merged.tensors where !known.contains(tensor.name) {
      throw UndoError.otherModel(path: record.path, tensor: tensor.name)
    }
  }

  // MARK: - The base, as far as it is known

  /// The base's tensors over the bytes of the merged model: what they are called, their types and shapes,
  /// and W' where W0 was.
  private static func base(
    on merged: BaseModel, _ record: UndoRecord, files: [(name: String, contents: [UInt8])]
  ) throws -> BaseModel {
    let sources = Dictionary(
      record.manifest.tensors.compactMap { tensor in tensor.source.map { (tensor.name, $0) } },
      uniquingKeysWith: { first, _ in first })
    let tensors = record.shards.flatMap(\.header.tensors).map { info in
      let place = sources[info.name].flatMap { merged.checkpoint[$0] }
      return BaseModel.Tensor(
        name: info.name, shard: place?.shard ?? 0,
        info: TensorInfo(
          name: info.name, dtype: info.dtype, shape: info.shape,
          offsets: place?.info.offsets ?? info.offsets))
    }
    var config: JSONObject?
    if let file = files.first(where: { $0.name == "config.json" }) {
      config = try? JSONValue.parse(file.contents, allowsNonFinite: true).object
    }
    return merged.replacingTensors(tensors).replacingConfig(config)
  }

  /// The merge again, tensor by tensor of its output, as far as it can be planned.
  private static func changes(
    _ request: UnmergeRequest, of base: BaseModel, _ manifest: UndoManifest
  ) throws -> [String: MergedTensor] {
    var merge = MergeRequest(
      base: request.merged, adapters: request.adapters, output: request.output,
      threads: request.threads)
    merge.unties = manifest.unties
    merge.allowsUnused = manifest.allowsUnused
    merge.baseIsResidual = manifest.baseIsResidual
    merge.ignoredSettings = Set(manifest.ignoredSettings)
    let adapters = try request.adapters.map {
      try AdapterContents(
        AdapterFile(path: $0.path), baseIsResidual: manifest.baseIsResidual)
    }
    let replicated = try LayerReplication(adapters)?.applied(to: base) ?? base
    var builder = MergePlanBuilder(
      request: merge, base: replicated,
      bindings: try MergePlan.bindings(of: adapters, to: replicated, merge))
    try builder.addChanges()
    _ = try builder.plannedTensors()
    return Dictionary(builder.merged.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }
}

extension Checkpoint {
  /// The rows of the tensor `name`, seen as those of `matrix`; nil where there is no such tensor.
  fileprivate func rows(of name: String, like matrix: MergedTensor?) -> FileRows? {
    guard let tensor = self[name] else { return nil }
    let file = file(of: tensor)
    let rowBytes = matrix.map { $0.shape.columns * $0.element.size } ?? 1
    return FileRows(
      file: file.file, offset: file.absoluteRange(of: tensor.info).lowerBound, rowBytes: rowBytes)
  }
}
