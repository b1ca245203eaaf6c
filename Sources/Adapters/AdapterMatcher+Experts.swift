import Kernels

/// Adapters on bare parameters: stacks of experts, fused in memory and apart in checkpoints.
extension AdapterMatcher {
  /// The name of the parameter that `module` adapts: PEFT nests adapters on several parameters of one
  /// module in the order of registration, the first innermost, and does not store which is which.
  func targetParameter(of module: AdaptedModule) throws(AdapterError) -> String? {
    guard case .list(let items)? = contents.file.config.settings["target_parameters"] else {
      return nil
    }
    let parameters = items.compactMap { item -> String? in
      guard case .text(let name) = item, let dot = name.lastIndex(of: ".") else { return nil }
      let owner = name[..<dot]
      guard module.path == owner || module.path.hasSuffix("." + owner) else { return nil }
      return String(name[name.index(after: dot)...])
    }
    let order = Architecture.expertParameterOrder
    let sorted = parameters.enumerated().sorted { a, b in
      let x = order.firstIndex(of: a.element) ?? order.count + a.offset
      let y = order.firstIndex(of: b.element) ?? order.count + b.offset
      return x < y
    }.map(\.element)
    guard module.nesting < sorted.count else { return nil }
    return sorted[sorted.count - 1 - module.nesting]
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
