import Operations

extension Failure {
  init(combine error: CombineError) {
    switch error {
    case .notLowRank(let adapter, let module, let method):
      self.init(
        "not_low_rank", .wrongData,
        "\(adapter): \(method) on \(module) is no change B·A that is the same on every base; merge "
          + "the adapters one after the other instead", path: adapter)
    case .unknownLayer(let adapter, let module, let method):
      self.init(
        "unknown_layer", .wrongData,
        "\(adapter): \(method) does not say how large \(module) is; name the model with --base",
        path: adapter)
    case .unsupported(let adapter, let part, let reason):
      self.init(
        "not_combinable", .wrongData, "\(adapter): \(part) cannot be combined: \(reason)",
        path: adapter)
    case .shapes(let module, let adapters, let found):
      let sizes = zip(adapters, found).map { "\($0) has \(Text.shape($1))" }
      self.init(
        "shape", .wrongData,
        "\(module) differs in size: \(sizes.joined(separator: ", ")); are they for the same base?")
    case .ranks(let module, let mode, let ranks):
      self.init(
        "ranks", .wrongData,
        "\(mode.rawValue) needs equal ranks, and \(module) has "
          + "\(ranks.map(String.init).joined(separator: ", ")); use cat, svd or a mode that ends "
          + "with -svd")
    case .conflictingReplacements(let tensor, let adapters):
      self.init(
        "conflict", .wrongData,
        "\(tensor) is replaced by \(adapters.joined(separator: " and by ")), which differ",
        tensor: tensor)
    case .partialReplacement(let tensor, let adapters, let weight):
      self.init(
        "partial_replacement", .wrongData,
        "\(adapters.joined(separator: ", ")) replaces \(tensor), which has no \(weight) part "
          + "without the base; weights of a replaced tensor must add up to 1", tensor: tensor)
    }
  }
}
