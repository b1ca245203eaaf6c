import Safetensors

extension LowRankAdapter {
  /// The adapter with one rank and one α for all modules, without patterns and without rsLoRA, for
  /// readers that know one scale only.
  ///
  /// Narrower factors are padded with zeros. The commonest scale stays; what a module's own scale is
  /// of it is multiplied into B (and its bias), rounded once: exactly where that is a power of 2.
  func uniform(target: String) throws -> LowRankAdapter {
    if settings["target_parameters"]?.array?.isEmpty == false {
      throw ConversionError.noEquivalent(
        path: path, module: nil, target: target,
        reason: "factors on parameters that are no modules have no rank of their own")
    }
    let scales = modules.map { plainAlpha($0) / Double(max($0.rank, 1)) }
    let nonzero = scales.filter { $0 != 0 }
    guard let rank = modules.map(\.rank).max(), let scale = Self.commonest(nonzero) else {
      return self
    }
    var result = self
    result.usesRootScale = false
    result.rescaled = zip(modules, scales).compactMap { $1 == scale || $1 == 0 ? nil : $0.path }
    for name in ["r", "lora_alpha", "rank_pattern", "alpha_pattern"] { result.settings[name] = nil }
    result.modules = try zip(modules, scales).map { module, own in
      var tensors: [String: DraftTensor] = [:]
      for (leaf, tensor) in module.tensors {
        switch leaf {
        case "lora_A.weight", "lora_embedding_A": tensors[leaf] = tensor.padded(rows: rank)
        case "lora_B.weight", "lora_embedding_B":
          tensors[leaf] = try tensor.multiplied(by: own / scale).padded(columns: rank)
        case "lora_B.bias": tensors[leaf] = try tensor.multiplied(by: own / scale)
        default: tensors[leaf] = tensor
        }
      }
      return Module(
        path: module.path, rank: rank, alpha: Self.alpha(scale: scale, rank: rank),
        tensors: tensors, storedTransposed: module.storedTransposed, keepsNames: module.keepsNames)
    }
    return result
  }
}

extension DraftTensor {
  /// With rows of zeros at the end.
  fileprivate func padded(rows: Int) -> DraftTensor {
    guard let first = shape.first, first < rows else { return self }
    return DraftTensor(name, dtype: dtype, shape: [rows] + shape.dropFirst()) { [self] in
      let stored = try bytes()
      let row = first > 0 ? stored.count / first : 0
      return stored + [UInt8](repeating: 0, count: (rows - first) * row)
    }
  }

  /// A factor `out × r` (or `out × r × 1…`) with columns of zeros at the end of each row.
  fileprivate func padded(columns: Int) -> DraftTensor {
    guard shape.count >= 2, shape[1] < columns else { return self }
    let (rows, own) = (shape[0], shape[1])
    return DraftTensor(name, dtype: dtype, shape: [rows, columns] + shape.dropFirst(2)) { [self] in
      let stored = try bytes()
      guard rows * own > 0 else { return stored }
      let row = stored.count / rows
      var result: [UInt8] = []
      result.reserveCapacity(row / own * columns * rows)
      for index in 0..<rows {
        result += stored[index * row..<(index + 1) * row]
        result += [UInt8](repeating: 0, count: row / own * (columns - own))
      }
      return result
    }
  }
}
