import Operations

extension Failure {
  init(diff error: DiffError) {
    switch error {
    case .differentKinds(let adapter, let model):
      self.init(
        "different_kinds", .wrongData,
        "\(adapter) is an adapter and \(model) is a model; to compare what merging would make, name "
          + "it as BASE+\(adapter)",
        path: adapter)
    case .nothingSelected:
      self.init(
        "nothing_selected", .wrongData,
        "no tensor is left to compare; --include and --exclude match whole names, * any part of one"
      )
    case .adapterAsBase(let path):
      self.init(
        "adapter_as_base", .wrongData, "\(path) is an adapter; a sum begins with a model",
        path: path)
    case .quantizedWeight(let path, let tensor, let reason):
      self.init(
        "quantized_weight", .wrongData, "\(tensor) of \(path) cannot be decoded: \(reason)",
        path: path, tensor: tensor)
    }
  }
}
