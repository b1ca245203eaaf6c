import Adapters
import Kernels
import Safetensors

/// Everything that a merge will do, decided from headers: every tensor of the output and where it comes
/// from, every tensor of the adapters and where it goes.
public struct MergePlan: Sendable {
  public let request: MergeRequest
  let base: BaseModel
  let bindings: [AdapterBinding]
  let model: OutputModel
  let merged: [MergedTensor]
  let config: ModelConfig?
  public let warnings: [MergeWarning]
  /// Tensors that change, by name in natural order.
  public let changed: [String]
  public let added: [String]
  public let copied: Int
  /// How the base comes back, and where it is noted; nil where that was not asked for.
  let undo: (plan: UndoPlan, store: ChunkStore)?

  /// The output's files.
  public var files: [String] {
    model.plan.shards.map(\.name) + [model.index?.name].compactMap { $0 }
  }
  public var bytes: Int { model.plan.fileBytes }

  /// Some adapter brings embeddings for another number of tokens.
  var resizesVocabulary: Bool { config?.edits.contains("vocab_size") ?? false }

  /// Weights that are written quantized.
  let layers: [any QuantizedLayer]

  /// - Parameter looksAtWeights: read the weights where the output's layout depends on them: when it is
  ///   quantized. A plan without that is not to be carried out.
  public init(_ request: MergeRequest, looksAtWeights: Bool = true) throws {
    let weights = try BaseModel(path: request.weights)
    let quantized = try weights.quantized()
    let original = quantized?.unpacked ?? weights
    if request.baseWeights != nil {
      try QuantizedModel(restoring: BaseModel(path: request.base)).check(isMadeFrom: original)
    }
    if request.recordsUndo, quantized != nil || request.quantization != nil {
      throw MergeError.undoOfQuantized
    }
    let adapters = try request.adapters.map {
      try AdapterContents(AdapterFile(path: $0.path), baseIsResidual: request.baseIsResidual)
    }
    for adapter in adapters { try Self.check(adapter, request) }
    let replication = try LayerReplication(adapters)
    let base = try replication?.applied(to: original) ?? original
    let bindings = try Self.bindings(of: adapters, to: base, request)
    let undoStore = request.recordsUndo ? ChunkStore() : nil
    let quantization = try request.quantization.map {
      try MergedQuantization($0, model: base, base: quantized)
    }
    var builder = MergePlanBuilder(
      request: request, base: base, bindings: bindings, undoStore: undoStore, quantized: quantized,
      quantization: quantization)
    try builder.addChanges()
    var tensors = try builder.plannedTensors()
    guard !builder.merged.isEmpty else {
      throw MergeError.changesNothing(adapters: request.adapters.map(\.path))
    }
    self.request = request
    self.base = base
    self.bindings = bindings
    merged = builder.merged
    added = builder.added
    changed = builder.merged.map(\.name).sorted(by: NaturalOrder.precedes)
    copied = tensors.joined().count - builder.merged.count
    config = try builder.config(replication: replication)
    let overlaps = try RegionOverlap.all(in: bindings).map { overlap in
      (overlap: overlap, adapters: overlap.adapters.map { request.adapters[$0].path })
    }
    if request.isStrict, let first = overlaps.first {
      throw MergeError.overlap(
        tensor: first.overlap.tensor, adapters: first.adapters, shared: first.overlap.shared)
    }
    let untouched = zip(request.adapters, bindings).compactMap { weighted, binding in
      binding.untouchedTargets.isEmpty
        ? nil
        : MergeWarning.untouchedTargets(adapter: weighted.path, modules: binding.untouchedTargets)
    }
    warnings =
      builder.warnings + untouched
      + overlaps.map {
        MergeWarning.overlap(
          tensor: $0.overlap.tensor, adapters: $0.adapters, shared: $0.overlap.shared)
      } + base.checkpoint.problems.map(MergeWarning.checkpoint)
      + zip(request.adapters, adapters).flatMap { weighted, adapter in
        adapter.ambiguousPatterns.map {
          MergeWarning.ambiguousPattern(adapter: weighted.path, $0)
        }
      }
    if let quantization {
      (tensors, layers) = try quantization.applied(
        to: tensors, model: base, element: request.element, threads: request.threads,
        looksAtWeights: looksAtWeights)
    } else {
      layers = []
    }
    let checkpoint = base.checkpoint
    model = try OutputModel.arrange(
      shards: tensors, names: checkpoint.shardNames, indexName: checkpoint.indexName,
      indexMetadata: checkpoint.index?["metadata"]?.object ?? JSONObject(),
      metadata: checkpoint.shards.map { shard in
        shard.header.metadataEntries ?? [(key: "format", value: "pt")]
      },
      layout: request.maximumShardSize.map(ShardLayout.limited) ?? .asInput,
      unit: quantization == nil ? { $0 } : CompanionName.weight(of:))
    let model = model
    undo = undoStore.map { (UndoPlan(model, of: checkpoint), $0) }
    if undo != nil { try UndoPlan.check(request, files: files) }
  }

  /// Matches adapters to a base, and refuses modules that cannot be merged.
  static func bindings(
    of adapters: [AdapterContents], to base: BaseModel, _ request: MergeRequest
  ) throws -> [AdapterBinding] {
    let bindings = try adapters.map {
      try $0.bind(to: base, untie: request.unties, allowUnused: request.allowsUnused)
    }
    for module in bindings.flatMap(\.modules) {
      if let reason = module.summary.notMergeable {
        throw MergeError.notMergeable(
          adapter: module.module.path, method: module.module.method.descriptor.title,
          reason: reason)
      }
    }
    return bindings
  }

  /// Refuses an adapter that cannot be merged, or of which something is not understood.
  static func check(_ adapter: AdapterContents, _ request: MergeRequest) throws {
    let path = adapter.file.path
    for method in adapter.usedMethods {
      if let reason = method.descriptor.notMergeable {
        throw MergeError.notMergeable(
          adapter: path, method: method.descriptor.title, reason: reason)
      }
    }
    let unknown = adapter.file.config.unknownSettings(methods: adapter.usedMethods)
    if let first = unknown.first(where: { !request.ignoredSettings.contains($0.name) }) {
      throw AdapterError.unknownSetting(
        path: adapter.file.config.path, name: first.name, value: first.value.description)
    }
  }
}
