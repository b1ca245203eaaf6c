import Adapters
import Kernels
import Safetensors

/// Collects what happens to each tensor of the base.
struct MergePlanBuilder {
  /// What happens to one tensor of the output.
  private struct Edit {
    /// The base tensor; nil for one that the base does not have.
    var base: BaseModel.Tensor?
    var dtype: DType
    var shape: [Int]
    /// Where W0 comes from when it is not the base's: a replacement, or zeros.
    var source: (any StoredRows)?
    var changes: [TensorChange] = []
    var replacedBy: [String] = []
  }

  let request: MergeRequest
  let base: BaseModel
  let bindings: [AdapterBinding]
  /// The base as it is stored, where that is quantized.
  private let quantized: QuantizedModel?
  private let quantization: MergedQuantization?
  private let transposed = TransposedCache()
  private let loaders: [AdapterLoader]
  private var edits: [String: Edit] = [:]
  /// Names of edited tensors in the order in which they were met.
  private var order: [String] = []
  private(set) var merged: [MergedTensor] = []
  private(set) var added: [String] = []
  private(set) var warnings: [MergeWarning] = []
  private var createsBias: Set<String> = []
  /// Where tensors note what brings the base back; nil where they need not.
  private let undoStore: ChunkStore?

  init(
    request: MergeRequest, base: BaseModel, bindings: [AdapterBinding],
    undoStore: ChunkStore? = nil, quantized: QuantizedModel? = nil,
    quantization: MergedQuantization? = nil
  ) {
    self.request = request
    self.base = base
    self.bindings = bindings
    self.undoStore = undoStore
    self.quantized = quantized
    self.quantization = quantization
    loaders = bindings.map(AdapterLoader.init)
  }

  /// Whether some adapter names the base it belongs to.
  private var checksBase: Bool {
    bindings.contains { $0.contents.file.container?.base != nil }
  }

  // MARK: - Changes

  mutating func addChanges() throws {
    // Replaced tensors come first: changes of the same tensor apply to the replacement.
    for (index, binding) in bindings.enumerated() {
      for replacement in binding.replacements { try add(replacement, adapter: index) }
    }
    for (index, binding) in bindings.enumerated() {
      let weight = request.adapters[index].weight
      for module in binding.modules { try add(module, adapter: index, weight: weight) }
      for rows in binding.tokenRows {
        try edit(rows.base.name, base: rows.base) {
          $0.changes.append(.tokenRows(rows, adapter: index, weight: weight))
        }
      }
      try addHead(binding, adapter: index)
    }
  }

  private mutating func edit(
    _ name: String, base tensor: BaseModel.Tensor?, dtype: DType? = nil, shape: [Int]? = nil,
    _ body: (inout Edit) throws -> Void
  ) throws {
    var edit: Edit
    if let existing = edits[name] {
      edit = existing
    } else {
      order.append(name)
      edit = Edit(
        base: tensor, dtype: dtype ?? tensor?.dtype ?? .f32, shape: shape ?? tensor?.shape ?? [])
    }
    try body(&edit)
    edits[name] = edit
  }

  private mutating func add(_ bound: BoundReplacement, adapter: Int) throws {
    let path = request.adapters[adapter].path
    let weight = request.adapters[adapter].weight
    let tensor = bound.replacement.tensor
    let file = bindings[adapter].contents.file.weights
    if let original = bound.base, ElementType(tensor.dtype) == nil, tensor.dtype == original.dtype,
      tensor.shape == original.shape, try file.read(tensor) == base.bytes(original)
    {
      // A counter of the saved module that did not move.
      return
    }
    let dtype = bound.base?.dtype ?? headType(tensor)
    guard let element = ElementType(dtype), let stored = ElementType(tensor.dtype) else {
      throw AdapterError.elementType(tensor: tensor.name, dtype: tensor.dtype)
    }
    let columns = MergedTensor.Shape(tensor.shape).columns
    let rows = FileRows(
      file: file.file, offset: file.absoluteRange(of: tensor).lowerBound,
      rowBytes: columns * stored.size)
    let source: any StoredRows =
      stored == element
      ? rows : ConvertedRows(rows: rows, from: stored, to: element, columns: columns)
    let sameShape = bound.base.map { $0.shape == tensor.shape } ?? false
    try edit(bound.name, base: bound.base, dtype: dtype, shape: tensor.shape) { edit in
      guard edit.replacedBy.isEmpty else {
        throw MergeError.conflictingReplacements(
          tensor: bound.name, adapters: edit.replacedBy + [path])
      }
      edit.replacedBy.append(path)
      edit.shape = tensor.shape
      if sameShape, !bound.replacement.wrapped {
        edit.changes.append(.replacement(rows, element: stored, weight: weight))
      } else {
        // New rows, new heads, and the base that a wrapped layer was trained on: what W0 is.
        edit.source = source
      }
    }
    if bound.base == nil { added.append(bound.name) }
  }

  /// The element type of a tensor that the base does not have: the model's own.
  private func headType(_ tensor: TensorInfo) -> DType {
    base.tensors.first { ElementType($0.dtype) != nil }?.dtype ?? tensor.dtype
  }

  private mutating func add(_ module: BoundModule, adapter: Int, weight: Double) throws {
    if module.summary.changesWeight {
      try edit(module.weight, base: module.source) {
        $0.changes.append(.weight(module, adapter: adapter, weight: weight))
      }
      if module.layer.kind == .embedding, base.tiesEmbeddings,
        bindings[adapter].untiedHead == nil, !base.tensors.contains(where: \.isOutputHead)
      {
        warnings.append(
          .tiedHeadChanges(adapter: request.adapters[adapter].path, embedding: module.weight))
      }
    }
    guard module.summary.changesBias, let bias = module.bias else { return }
    let tensor = base.tensor(bias)
    let shape = tensor?.shape ?? [module.layer.outFeatures]
    let decoded = decodedRows(module.source)
    let change = TensorChange.bias(
      module, adapter: adapter, weight: weight,
      layerWeight: FloatRows(
        stored: decoded ?? stored(module.source), shape: MergedTensor.Shape(module.source.shape),
        element: decoded == nil ? module.layer.element : .f32))
    let dtype = tensor?.dtype ?? module.source.dtype
    try edit(bias, base: tensor, dtype: dtype, shape: shape) { edit in
      if tensor == nil {
        edit.source = ZeroRows(rowBytes: module.layer.element.size)
      }
      edit.changes.append(change)
    }
    if tensor == nil, createsBias.insert(bias).inserted { added.append(bias) }
  }

  /// Gives the head of a tied model a tensor of its own.
  private mutating func addHead(_ binding: AdapterBinding, adapter: Int) throws {
    guard let untied = binding.untiedHead, let embedding = base.tensor(untied.embedding) else {
      return
    }
    warnings.append(.untied(head: untied.head, embedding: untied.embedding))
    if edits[untied.head] == nil {
      try edit(untied.head, base: embedding) { _ in }
    }
    if !added.contains(untied.head) { added.append(untied.head) }
  }

  // MARK: - Tensors

  /// The rows of a base tensor as they are stored.
  private func stored(_ tensor: BaseModel.Tensor, isStack: Bool = false) -> FileRows {
    let shard = base.checkpoint.shards[tensor.shard]
    let elementSize = tensor.dtype.bits / 8
    return FileRows(
      file: shard.file, offset: shard.absoluteRange(of: tensor.info).lowerBound,
      rowBytes: MergedTensor.Shape(tensor.shape, isStack: isStack).columns * elementSize)
  }

  /// The rows of a quantized base tensor, in f32; nil for one that is not.
  private func decodedRows(_ tensor: BaseModel.Tensor) -> (any StoredRows)? {
    quantized?.weight(tensor.info.name).map { DequantizedRows(weight: $0, cache: transposed) }
  }

  /// Every tensor of the output, shard by shard.
  mutating func plannedTensors() throws -> [[PlannedTensor]] {
    var shards = [[PlannedTensor]](repeating: [], count: base.checkpoint.shards.count)
    for tensor in base.tensors {
      if edits[tensor.name] != nil {
        shards[tensor.shard].append(try planned(tensor.name))
      } else {
        shards[tensor.shard].append(copied(tensor, as: tensor.name))
      }
    }
    for name in order where !base.contains(name) {
      shards[shardOfNew(name)].append(try planned(name))
    }
    return shards
  }

  /// A new tensor goes to the shard of its source, or of its layer's weight, or to the last.
  private func shardOfNew(_ name: String) -> Int {
    if let source = edits[name]?.base { return source.shard }
    let weight = name.lastIndex(of: ".").map { name[...$0] + "weight" } ?? name
    return base.tensor(weight)?.shard ?? base.checkpoint.shards.count - 1
  }

  private func copied(_ tensor: BaseModel.Tensor, as name: String) -> PlannedTensor {
    if let quantized, quantized.weight(tensor.info.name) != nil {
      // What is quantized anew is decoded to f32, and rounded no more.
      let element = quantization?.quantizes(name) ?? false ? .f32 : request.element
      let planned = PlannedTensor(unpacking: tensor, of: quantized, as: element)
      return PlannedTensor(
        name: name, dtype: planned.dtype, shape: planned.shape, source: planned.source)
    }
    let rows = stored(tensor)
    if let wanted = request.element, let own = ElementType(tensor.dtype), wanted != own {
      return PlannedTensor(
        name: name, dtype: wanted.dtype, shape: tensor.shape,
        source: ConvertedTensor(rows: rows, from: own, to: wanted, shape: tensor.shape))
    }
    return PlannedTensor(
      name: name, dtype: tensor.dtype, shape: tensor.shape,
      source: CopiedTensor(file: rows.file, offset: rows.offset))
  }

  private mutating func planned(_ name: String) throws -> PlannedTensor {
    guard let edit = edits[name] else { throw MergeError.changesNothing(adapters: []) }
    if edit.changes.isEmpty, edit.source == nil, let tensor = edit.base {
      return copied(tensor, as: name)
    }
    guard let element = ElementType(edit.dtype) else {
      throw AdapterError.elementType(tensor: name, dtype: edit.dtype)
    }
    let isStack = edit.changes.contains(where: \.isOnStack)
    let shape = MergedTensor.Shape(edit.shape, isStack: isStack)
    let zeros = ZeroRows(rowBytes: shape.columns * element.size)
    let own =
      edit.source ?? edit.base.map { stored($0, isStack: isStack) as any StoredRows } ?? zeros
    let decoded = edit.source == nil ? edit.base.flatMap(decodedRows) : nil
    let output =
      quantization?.quantizes(name) ?? false ? ElementType.f32 : request.element ?? element
    // Where the output has another type, the sum is made in f32 and rounded once to that type.
    let keepsType = output == element && decoded == nil
    let rows: any StoredRows =
      keepsType
      ? own
      : decoded
        ?? (own as? ConvertedRows
        ?? ConvertedRows(rows: own, from: element, to: element, columns: shape.columns))
        .converting(to: .f32)
    let isOwnBase = rows is FileRows && edit.source == nil
    // A tensor that is replaced tells nothing of what it was.
    let recorder =
      isOwnBase && !edit.changes.contains(where: \.replacesWhole)
      ? undoStore.map { TensorRecorder(name: name, shape: shape, element: element, store: $0) }
      : nil
    let tensor = MergedTensor(
      name: name, shape: shape, element: keepsType ? element : .f32, output: output,
      base: rows, changes: edit.changes, loaders: loaders,
      checksBase: recorder != nil || checksBase && isOwnBase && edit.base?.name == name,
      recorder: recorder)
    merged.append(tensor)
    return PlannedTensor(name: name, dtype: output.dtype, shape: edit.shape, source: tensor)
  }

  // MARK: - Configuration

  /// `config.json` with what the merge makes different; nil when there is none.
  func config(replication: LayerReplication?) throws -> ModelConfig? {
    guard let json = base.config else { return nil }
    var config = ModelConfig(json)
    if bindings.contains(where: { $0.untiedHead != nil }) {
      config.set("tie_word_embeddings", to: false)
    }
    for name in order {
      guard let edit = edits[name], let tensor = edit.base, tensor.isInputEmbedding,
        edit.shape[0] != tensor.shape[0]
      else { continue }
      config.set("vocab_size", to: .int(edit.shape[0]))
    }
    if let replication { config.set("num_hidden_layers", to: .int(replication.layers.count)) }
    if createsBias.contains(where: { $0.contains("self_attn") }), json["attention_bias"] != nil {
      config.set("attention_bias", to: true)
    }
    if createsBias.contains(where: { $0.contains("mlp") }), json["mlp_bias"] != nil {
      config.set("mlp_bias", to: true)
    }
    if let quantization {
      config.set(QuantizationConfig.key, to: quantization.config)
    } else if quantized != nil {
      config.remove(QuantizationConfig.key)
    }
    if let element = request.element { config.setElementType(element) }
    return config
  }
}

extension MergedTensor.Shape {
  /// The matrix that the updates of a tensor work on: a vector has one column, a stack of matrices is
  /// seen row by row, a convolution by output channel.
  init(_ shape: [Int], isStack: Bool = false) {
    switch shape.count {
    case 0: (rows, columns) = (1, 1)
    case 1: (rows, columns) = (shape[0], 1)
    case _ where isStack: (rows, columns) = (shape.dropLast().reduce(1, *), shape[shape.count - 1])
    default: (rows, columns) = (shape[0], shape.dropFirst().reduce(1, *))
    }
  }
}
