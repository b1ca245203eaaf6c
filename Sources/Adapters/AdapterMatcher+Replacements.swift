import Kernels

/// Tensors and rows that replace the base's.
extension AdapterMatcher {
  func bind(
    _ replacement: Replacement, untied: inout UntiedHead?
  ) throws(AdapterError) -> BoundReplacement? {
    if let tensor = baseTensor(replacement.target) {
      try check(replacement, against: tensor)
      return BoundReplacement(replacement: replacement, name: tensor.name, base: tensor)
    }
    let isHead = Architecture.outputHeads.contains(Architecture.lastSegment(replacement.module))
    if isHead, replacement.parameter == "weight", headTensor == nil,
      let embedding = inputEmbedding, base.tiesEmbeddings
    {
      if replacement.wrapped { return nil }
      let head = resolution.newName(replacement.target)
      untied = UntiedHead(head: head, embedding: embedding.name)
      try check(replacement, against: embedding)
      return BoundReplacement(replacement: replacement, name: head, base: nil)
    }
    guard isNewHead(replacement) else { return nil }
    return BoundReplacement(
      replacement: replacement, name: resolution.newName(replacement.target), base: nil)
  }

  /// Whether the base may lack the tensor: a head that the task added, named in `modules_to_save`.
  private func isNewHead(_ replacement: Replacement) -> Bool {
    var saved = ["score", "classifier"]
    if case .list(let items)? = contents.file.config.settings["modules_to_save"] {
      saved += items.compactMap { if case .text(let name) = $0 { name } else { nil } }
    }
    return saved.contains { name in
      let module = "." + replacement.module + "."
      return module.contains("." + name + ".")
    }
  }

  private func check(
    _ replacement: Replacement, against tensor: BaseModel.Tensor
  ) throws(AdapterError) {
    let found = replacement.tensor.shape
    let isTable =
      Architecture.isEmbedding(module: replacement.module)
      || Architecture.outputHeads.contains(Architecture.lastSegment(replacement.module))
    // A resized vocabulary changes the number of rows, and nothing else may differ.
    let fits =
      found == tensor.shape
      || isTable && found.count == 2 && tensor.shape.count == 2 && found[1] == tensor.shape[1]
    guard fits else {
      throw .replacementShape(
        path: path, tensor: replacement.tensor.name, found: found, base: tensor.shape)
    }
  }

  func check(
    _ tokens: TokenRows, against tensor: BaseModel.Tensor
  ) throws(AdapterError) {
    guard tensor.shape.count == 2, tokens.tensor.shape == [tokens.ids.count, tensor.shape[1]] else {
      throw .tokenRows(
        path: path, tensor: tokens.tensor.name,
        reason: "its shape is \(tokens.tensor.shape), and \(tokens.ids.count) rows of "
          + "\(tensor.name) \(tensor.shape) are asked for")
    }
    if let id = tokens.ids.first(where: { $0 >= tensor.shape[0] }) {
      throw .tokenRows(
        path: path, tensor: tokens.tensor.name,
        reason: "token \(id) is not among the \(tensor.shape[0]) of \(tensor.name)")
    }
  }
}
