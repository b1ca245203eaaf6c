import Kernels

/// Adapters on bare parameters: stacks of experts, fused in memory and apart in checkpoints.
extension AdapterMatcher {
  func targetParameter(of module: AdaptedModule) -> String? {
    contents.file.config.settings.targetParameter(of: module.path, nesting: module.nesting)
  }

  func bind(
    _ module: AdaptedModule, parameter: String
  ) throws(AdapterError) -> [BoundModule] {
    for name in ["\(module.path).\(parameter)", "\(module.path).\(parameter).weight"] {
      if let tensor = baseTensor(name) {
        return [try bound(module, tensor: tensor, biasName: nil)]
      }
    }
    for parts in ExpertLayout.parts(of: parameter) {
      var experts: [[BaseModel.Tensor]] = []
      while true {
        let tensors = parts.compactMap {
          baseTensor("\(module.path).\(experts.count).\($0).weight")
        }
        guard tensors.count == parts.count else { break }
        experts.append(tensors)
      }
      guard !experts.isEmpty else { continue }
      return try bind(module, experts: experts)
    }
    return []
  }

  private func bind(
    _ module: AdaptedModule, experts: [[BaseModel.Tensor]]
  ) throws(AdapterError) -> [BoundModule] {
    guard let a = module.shapes["lora_A.weight"], let b = module.shapes["lora_B.weight"],
      a.count == 2, b.count == 2, a[0] % experts.count == 0
    else {
      throw .module(
        path: path, module: module.path, tensor: nil,
        error: .layer(reason: "only LoRA adapts a stack of \(experts.count) experts"))
    }
    let rank = a[0] / experts.count
    var bound: [BoundModule] = []
    for (expert, tensors) in experts.enumerated() {
      let fusedRows = tensors.reduce(0) { $0 + ($1.shape.first ?? 0) }
      guard b == [fusedRows, a[0]] else {
        throw .module(
          path: path, module: module.path, tensor: tensors[0].name,
          error: .shape(
            leaf: "lora_B.weight", found: b, expected: "[\(fusedRows), \(a[0])]"))
      }
      var row = 0
      for tensor in tensors {
        let rows = row..<row + (tensor.shape.first ?? 0)
        row = rows.upperBound
        let slice = ExpertSlice(
          expert: expert, experts: experts.count, rows: rows, fusedRows: fusedRows)
        bound.append(
          try self.bound(
            module, tensor: tensor, biasName: nil, expert: slice,
            shapes: ["lora_A.weight": [rank, a[1]], "lora_B.weight": [rows.count, rank]]))
      }
    }
    return bound
  }
}

extension MethodSettings {
  /// The name of the parameter that the factors at `module` adapt (`target_parameters`): PEFT nests
  /// adapters on several parameters of one module in the order of registration, the first innermost,
  /// and does not store which is which.
  func targetParameter(of module: String, nesting: Int) -> String? {
    guard case .list(let items)? = self["target_parameters"] else { return nil }
    let parameters = items.compactMap { item -> String? in
      guard case .text(let name) = item, let dot = name.lastIndex(of: ".") else { return nil }
      let owner = name[..<dot]
      guard module == owner || module.hasSuffix("." + owner) else { return nil }
      return String(name[name.index(after: dot)...])
    }
    let sorted = Architecture.inRegistrationOrder(parameters)
    guard nesting < sorted.count else { return nil }
    return sorted[sorted.count - 1 - nesting]
  }
}

extension Architecture {
  /// Parameters of one module of experts, in the order in which transformers registers them.
  public static func inRegistrationOrder(_ parameters: [String]) -> [String] {
    let order = expertParameterOrder
    return parameters.enumerated().sorted { a, b in
      let x = order.firstIndex(of: a.element) ?? order.count + a.offset
      let y = order.firstIndex(of: b.element) ?? order.count + b.offset
      return x < y
    }.map(\.element)
  }
}

extension BaseModel {
  /// Whether the stack of experts `tensor` is stored `experts × in × out`.
  public func storesExpertsTransposed(_ tensor: Tensor) -> Bool {
    guard Architecture.turnsExperts(modelType: modelType) else {
      return Architecture.storesExpertsTransposed(modelType: modelType)
    }
    guard let hidden = (textConfig ?? config)?["hidden_size"]?.int, tensor.shape.count == 3 else {
      return false
    }
    let end = tensor.name.contains("gate_up_proj") ? 2 : 1
    return tensor.shape[end] != hidden
  }

  /// The module and the parameter, by their names in memory, that the stack of experts `tensor` is;
  /// nil for what is none.
  public func expertStack(_ tensor: Tensor) -> (module: String, parameter: String)? {
    guard tensor.shape.count == 3 else { return nil }
    var segments = nameInMemory(tensor.name).split(separator: ".").map(String.init)
    if segments.last == "weight" { segments.removeLast() }
    guard let parameter = segments.popLast(), segments.contains("experts") else { return nil }
    return (segments.joined(separator: "."), parameter)
  }
}
