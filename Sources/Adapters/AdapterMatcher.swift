import Kernels
import Safetensors

/// Matches an adapter's modules to the tensors of a base.
struct AdapterMatcher {
  let contents: AdapterContents
  let base: BaseModel
  /// Separate the output head wherever only one use of a tied embedding is adapted.
  let untie: Bool
  let allowUnused: Bool

  let resolution: NameResolution
  var path: String { contents.file.path }

  init(_ contents: AdapterContents, base: BaseModel, untie: Bool, allowUnused: Bool) {
    self.contents = contents
    self.base = base
    self.untie = untie
    self.allowUnused = allowUnused
    let paths =
      contents.modules.map(\.path) + contents.tokenRows.map(\.module)
      + contents.replacements.map(\.target)
    resolution = NameResolution.best(for: paths, in: base).resolution
  }

  func match() throws(AdapterError) -> AdapterBinding {
    var unmatched: [AdapterError.Unmatched] = []
    var modules: [BoundModule] = []
    var untied: UntiedHead?
    // What cannot be merged has no base tensor to find: prompts, prefixes, layers of its own.
    for module in contents.modules where module.method.descriptor.notMergeable == nil {
      let bound = try bind(module, untied: &untied)
      if bound.isEmpty {
        unmatched += module.tensorNames.map {
          AdapterError.Unmatched(tensor: $0, nearest: resolution.nearest(to: module.path))
        }
      }
      modules += bound
    }

    var replacements: [BoundReplacement] = []
    for replacement in contents.replacements {
      if let bound = try bind(replacement, untied: &untied) {
        replacements.append(bound)
      } else {
        unmatched.append(
          AdapterError.Unmatched(
            tensor: replacement.tensor.name, nearest: resolution.nearest(to: replacement.target)))
      }
    }
    if untied == nil { untied = try headLeftBehind(replacements, modules: modules) }

    var rows: [BoundTokenRows] = []
    for tokens in contents.tokenRows {
      if let tensor = baseTensor(tokens.module + ".weight") {
        try check(tokens, against: tensor)
        rows.append(BoundTokenRows(rows: tokens, base: tensor))
      } else {
        unmatched.append(
          AdapterError.Unmatched(
            tensor: tokens.tensor.name, nearest: resolution.nearest(to: tokens.module)))
      }
    }

    if !unmatched.isEmpty, !allowUnused || modules.isEmpty && replacements.isEmpty && rows.isEmpty {
      throw .unmatched(
        path: path, modules: unmatched, total: contents.file.weights.header.tensors.count)
    }
    return AdapterBinding(
      contents: contents, modules: modules, replacements: replacements, tokenRows: rows,
      unused: unmatched, untiedHead: untied, untouchedTargets: untouchedTargets(modules))
  }

  /// Matrices whose modules `target_modules` names and that none of `modules` adapts.
  private func untouchedTargets(_ modules: [BoundModule]) -> [String] {
    let targets = TargetModules(contents.file.config.settings)
    guard targets.isStated else { return [] }
    let adapted = Set(modules.map(\.source.name))
    return base.tensors.compactMap { tensor in
      guard tensor.shape.count == 2, tensor.name.hasSuffix(".weight"),
        !adapted.contains(tensor.name)
      else { return nil }
      let module = String(resolution.adapterName(tensor.name).dropLast(7))
      return targets.contains(module) == true ? module : nil
    }.sorted(by: NaturalOrder.precedes)
  }

  func baseTensor(_ name: String) -> BaseModel.Tensor? {
    resolution.baseTensor(name).flatMap(base.tensor)
  }

  // MARK: - Modules

  private func bind(
    _ module: AdaptedModule, untied: inout UntiedHead?
  ) throws(AdapterError) -> [BoundModule] {
    if let tensor = baseTensor(module.path + ".weight") {
      let embedding = tensor.name == inputEmbedding?.name
      if embedding, base.tiesEmbeddings, untie, headTensor == nil {
        untied = UntiedHead(head: "lm_head.weight", embedding: tensor.name)
      }
      return [
        try bound(
          module, tensor: tensor, biasName: sibling(of: tensor.name, "bias"),
          repeats: isOutProjection(module) ? 2 : 1)
      ]
    }
    if let tensor = baseTensor(module.path + ".in_proj_weight") {
      return [
        try bound(module, tensor: tensor, biasName: sibling(of: tensor.name, "in_proj_bias"))
      ]
    }
    if let parameter = targetParameter(of: module) {
      return try bind(module, parameter: parameter)
    }
    if let tensor = baseTensor(module.path) {
      return [try bound(module, tensor: tensor, biasName: nil)]
    }
    let isHead = Architecture.outputHeads.contains(Architecture.lastSegment(module.path))
    if isHead, headTensor == nil, base.tiesEmbeddings, let embedding = inputEmbedding {
      if contents.file.config.settings["ensure_weight_tying"] == .bool(true) { return [] }
      let head = resolution.newName(module.path) + ".weight"
      untied = UntiedHead(head: head, embedding: embedding.name)
      return [try bound(module, tensor: embedding, weight: head, isHead: true, biasName: nil)]
    }
    return []
  }

  /// PEFT wraps the output projection of a MultiheadAttention inside the wrapped module.
  private func isOutProjection(_ module: AdaptedModule) -> Bool {
    guard module.insideWrapped, module.path.hasSuffix(".out_proj") else { return false }
    return baseTensor(module.path.dropLast(8) + "in_proj_weight") != nil
  }

  func bound(
    _ module: AdaptedModule, tensor: BaseModel.Tensor, weight: String? = nil, isHead: Bool = false,
    biasName: String?, expert: ExpertSlice? = nil, shapes: [String: [Int]]? = nil, repeats: Int = 1
  ) throws(AdapterError) -> BoundModule {
    let element = try ElementType.stored(tensor)
    let kind = layerKind(module, tensor: tensor, isHead: isHead)
    var layer = LayerGeometry(
      module: module.path, kind: kind, shape: tensor.shape, element: element,
      hasBias: biasName.map(base.contains) ?? false)
    let shapes = shapes ?? module.shapes
    var failure: MethodError?
    for transposed in orientations(module, tensor: tensor, kind: kind) {
      layer.storedTransposed = transposed
      do {
        let summary = try module.method.examine(shapes, settings: module.settings, layer: layer)
        return BoundModule(
          module: module, layer: layer, summary: summary, weight: weight ?? tensor.name,
          source: tensor, bias: biasName, expert: expert, repeats: repeats)
      } catch {
        failure = failure ?? error
      }
    }
    throw .module(
      path: path, module: module.path, tensor: tensor.name,
      error: failure ?? .layer(reason: "no orientation of the weight suits the method"))
  }

  /// Whether the weight is stored `in × out`: the possibilities, the likeliest first.
  private func orientations(
    _ module: AdaptedModule, tensor: BaseModel.Tensor, kind: LayerGeometry.Kind
  ) -> [Bool] {
    if kind == .parameter { return [base.storesExpertsTransposed(tensor)] }
    guard kind == .linear else { return [false] }
    if let known = Architecture.storesTransposed(modelType: base.modelType, module: module.path) {
      return [known]
    }
    return module.settings["fan_in_fan_out"] == .bool(true) ? [true, false] : [false]
  }

  private func layerKind(
    _ module: AdaptedModule, tensor: BaseModel.Tensor, isHead: Bool
  ) -> LayerGeometry.Kind {
    switch tensor.shape.count {
    case 0, 1: return .normalization
    case 2:
      if isHead { return .linear }
      let isTable =
        module.tensors.keys.contains { $0.contains("embedding") }
        || Architecture.isEmbedding(module: module.path)
      return isTable ? .embedding : .linear
    default:
      let isParameter = !tensor.name.hasSuffix(".weight") || base.expertStack(tensor) != nil
      return isParameter ? .parameter : .convolution
    }
  }

  private func sibling(of name: String, _ leaf: String) -> String? {
    name.lastIndex(of: ".").map { name[...$0] + leaf }
  }

  // MARK: - Tied embeddings

  var inputEmbedding: BaseModel.Tensor? { base.tensors.first(where: \.isInputEmbedding) }

  var headTensor: BaseModel.Tensor? { base.tensors.first(where: \.isOutputHead) }

  /// The head that a replaced input embedding of a tied model leaves behind: PEFT trains a copy of the
  /// embedding and the head stays what it was.
  private func headLeftBehind(
    _ replacements: [BoundReplacement], modules: [BoundModule]
  ) throws(AdapterError) -> UntiedHead? {
    guard base.tiesEmbeddings, headTensor == nil, let embedding = inputEmbedding,
      replacements.contains(where: {
        $0.name == embedding.name && !$0.replacement.wrapped
          && $0.replacement.tensor.shape == embedding.shape
      }),
      contents.file.config.settings["ensure_weight_tying"] != .bool(true)
    else { return nil }
    return UntiedHead(head: "lm_head.weight", embedding: embedding.name)
  }
}

extension AdapterContents {
  /// Matches the adapter to `base`.
  ///
  /// - Parameters:
  ///   - untie: give the output head a tensor of its own wherever only one use of a tied embedding is
  ///     adapted. Without it, factors on the input embedding change both uses, as PEFT's merge does.
  ///   - allowUnused: adapter tensors that match nothing are listed instead of refused.
  public func bind(
    to base: BaseModel, untie: Bool = false, allowUnused: Bool = false
  ) throws(AdapterError) -> AdapterBinding {
    try AdapterMatcher(self, base: base, untie: untie, allowUnused: allowUnused).match()
  }
}

extension ElementType {
  /// The element type of a stored weight that arithmetic can be done on.
  static func stored(_ tensor: BaseModel.Tensor) throws(AdapterError) -> ElementType {
    guard let element = ElementType(tensor.dtype) else {
      throw .elementType(tensor: tensor.name, dtype: tensor.dtype)
    }
    return element
  }

  /// The arithmetic type of a stored one; nil for integers, 64-bit and sub-16-bit types.
  public init?(_ dtype: DType) {
    switch dtype {
    case .f32: self = .f32
    case .f16: self = .f16
    case .bf16: self = .bf16
    default: return nil
    }
  }

  /// The stored type's name in the file format.
  public var dtype: DType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    }
  }
}
