import Adapters
import Kernels
import Safetensors

extension LowRankAdapter {
  /// The leaves that LoRA's own files have.
  private static let ownLeaves: Set<String> = [
    "lora_A.weight", "lora_B.weight", "lora_B.bias", "lora_magnitude_vector", "lora_embedding_A",
    "lora_embedding_B",
  ]

  /// Settings of a PEFT adapter that say where it belongs and what its whole tensors are.
  static let carried: Set<String> = [
    "task_type", "base_model_name_or_path", "revision", "bias", "modules_to_save",
    "trainable_token_indices", "target_parameters", "layer_replication", "ensure_weight_tying",
    "auto_mapping", "lora_dropout", "exclude_modules",
  ]

  /// What LoRA's own configuration says of ranks and targets.
  private static let ownSettings: Set<String> = [
    "r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "layers_to_transform",
    "layers_pattern",
  ]

  /// The LoRA that does what the adapter `file` does.
  ///
  /// LoRA's own tensors are taken bit for bit; other methods' factors are computed as their merge
  /// computes them, in f32.
  ///
  /// - Parameters:
  ///   - base: the model whose layers have the shapes that the adapter's file does not say.
  ///   - target: the format asked for, for messages.
  init(
    _ file: AdapterFile, base: String?, target: String, ignoredSettings: Set<String> = []
  ) throws {
    let contents = try AdapterContents(file)
    if let reason = contents.usedMethods.compactMap({ $0.descriptor.notMergeable }).first {
      throw ConversionError.noEquivalent(
        path: file.path, module: nil, target: target, reason: reason)
    }
    let unknown = file.config.unknownSettings(methods: contents.usedMethods)
    if let (name, value) = unknown.first(where: { !ignoredSettings.contains($0.name) }) {
      throw AdapterError.unknownSetting(path: file.path, name: name, value: value.description)
    }
    let layers = try AdaptedLayers(contents, base: base)
    let usesRootScale = file.config.settings["use_rslora"] == .bool(true)
    var modules: [Module] = []
    for module in contents.modules {
      modules.append(
        try Self.module(
          module, file: file, layers: layers, usesRootScale: usesRootScale, target: target))
    }
    self.init(path: file.path, modules: modules, usesRootScale: usesRootScale)
    replacements = (contents.replacements.map(\.tensor) + contents.tokenRows.map(\.tensor)).map {
      DraftTensor($0, of: file.weights, stated: file.container?.checksums[$0.name])
    }
    copiesOfBase = try layers.copies(in: file)
    for entry in file.config.json.entries
    where Self.carried.contains(entry.key) && !entry.value.isNull && entry.value != false {
      settings[entry.key] = entry.value
    }
    if replacements.isEmpty { settings["modules_to_save"] = nil }
    if settings["modules_to_save"] == nil {
      let saved = contents.replacements.filter { !$0.wrapped }.map(\.module)
      let bias = file.config.settings["bias"]
      if !saved.isEmpty, bias == nil || bias == .text("none") {
        var unique: [String] = []
        for name in saved where !unique.contains(name) { unique.append(name) }
        settings["modules_to_save"] = .array(unique.map { .string($0) })
      }
    }
    if file.config.json["fan_in_fan_out"] == .bool(true) { settings["fan_in_fan_out"] = true }
    metadata = file.container?.other ?? file.weights.header.metadata ?? [:]
    // LoRA stays LoRA: what it says of ranks and targets is kept in its own words, unless these mean
    // something else once their keys are sorted.
    if file.config.peftType == "LORA", modules.allSatisfy(\.isCopied),
      contents.ambiguousPatterns.isEmpty
    {
      for entry in file.config.json.entries where Self.ownSettings.contains(entry.key) {
        settings[entry.key] = entry.value
      }
    }
  }

  private static func module(
    _ module: AdaptedModule, file: AdapterFile, layers: AdaptedLayers, usesRootScale: Bool,
    target: String
  ) throws -> Module {
    func refused(_ reason: String) -> ConversionError {
      .noEquivalent(path: file.path, module: module.path, target: target, reason: reason)
    }
    let bound = layers.bound[module.path]
    let ignored = Set(module.method.descriptor.ignoredLeaves)
    let tensors = module.tensors.filter { !ignored.contains($0.key) }
    let isCopied = module.method.sharesFilesOfLoRA && ownLeaves.isSuperset(of: tensors.keys)
    let summary: ModuleSummary
    do {
      summary = try module.method.examine(
        module.shapes, settings: module.settings, layer: isCopied ? nil : bound?.layer)
    } catch {
      throw AdapterError.module(path: file.path, module: module.path, tensor: nil, error: error)
    }
    if let reason = summary.notMergeable {
      throw ConversionError.noEquivalent(
        path: file.path, module: nil, target: target, reason: reason)
    }
    if isCopied {
      let drafts = tensors.mapValues {
        DraftTensor($0, of: file.weights, stated: file.container?.checksums[$0.name])
      }
      return Module(
        path: module.path, rank: summary.rank ?? 0,
        alpha: try module.settings.real("lora_alpha") ?? 8, tensors: drafts,
        storedTransposed: bound?.layer.storedTransposed ?? false,
        isCopied: true, keepsNames: module.nesting > 0 || module.insideWrapped)
    }

    guard let loader = layers.loader, let bound else {
      throw ConversionError.needsBase(
        path: file.path,
        reason: "\(module.method.descriptor.title) does not say the size of \(module.path)")
    }
    let method = try loader.method(of: bound)
    guard let update = try method.weightUpdate() else {
      throw refused("it changes biases only")
    }
    guard update.form == .additive else {
      throw refused("it scales the weight itself, which no low-rank addition does")
    }
    guard let factors = update.exactFactors else {
      throw refused("its change has full rank")
    }
    var drafts = [
      "lora_A.weight": factorDraft(
        loader, bound, shape: [factors.rank, factors.columns], leaf: { $0.a }),
      "lora_B.weight": factorDraft(
        loader, bound, shape: [factors.rows, factors.rank], leaf: { $0.b }),
    ]
    if try method.biasUpdate() != nil {
      // 1LoRA's β: the scale is 1, so that LoRA's bias is β.
      guard let bias = module.tensors["bitfit_bias"], factors.scale == 1, summary.scale == 1 else {
        throw refused("it changes biases in a way that LoRA has no tensor for")
      }
      drafts["lora_B.bias"] = DraftTensor(
        bias, of: file.weights, stated: file.container?.checksums[bias.name])
    }
    let scale = factors.scale == 1 ? 1 : summary.scale ?? Double(factors.scale)
    let plain = alpha(scale: scale, rank: factors.rank)
    return Module(
      path: module.path, rank: factors.rank,
      alpha: usesRootScale ? scale * Double(factors.rank).squareRoot() : plain, tensors: drafts,
      storedTransposed: bound.layer.storedTransposed)
  }

  /// A factor that is computed when it is written, so that one module is in memory at a time.
  private static func factorDraft(
    _ loader: AdapterLoader, _ bound: BoundModule, shape: [Int],
    leaf: @escaping @Sendable (LowRankFactors) -> [Float]
  ) -> DraftTensor {
    DraftTensor(bound.module.path, dtype: .f32, shape: shape) {
      guard let factors = try loader.method(of: bound).weightUpdate()?.exactFactors else {
        return []
      }
      return ElementType.f32.rounded(leaf(factors))
    }
  }
}

extension AdapterMethod {
  /// The method's factors are LoRA's, in LoRA's own tensors.
  fileprivate static var sharesFilesOfLoRA: Bool {
    [LoRA.self, DoRA.self, AsymmetricLoRA.self, MultiheadOutput.self].contains { self == $0 }
  }
}

extension WeightUpdate {
  /// The change as `scale·B·A` with every element exact; nil where that takes full rank.
  var exactFactors: LowRankFactors? {
    if let lowRank { return lowRank }
    switch self {
    case let update as RepeatedRowsUpdate:
      let factors = update.exactLowRank
      return factors.rank < min(rows, columns) ? factors : nil
    case let update as SparseColumnsUpdate:
      return LowRankFactors(
        rank: update.indices.count, rows: rows, columns: columns, b: update.values,
        a: Self.oneHot(update.indices, columns: columns), scale: update.scale)
    case let update as SparseRowsUpdate:
      let rank = update.indices.count
      return LowRankFactors(
        rank: rank, rows: rows, columns: columns,
        b: transpose(Self.oneHot(update.indices, columns: rows), rows: rank, columns: rows),
        a: update.values, scale: update.scale)
    default: return nil
    }
  }

  /// Row k is the unit vector of `indices[k]`.
  private static func oneHot(_ indices: [Int], columns: Int) -> [Float] {
    var result = [Float](repeating: 0, count: indices.count * columns)
    for (row, index) in indices.enumerated() { result[row * columns + index] = 1 }
    return result
  }
}
