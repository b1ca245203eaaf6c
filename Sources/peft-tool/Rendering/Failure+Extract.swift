import Operations

extension Failure {
  init(extract error: ExtractError) {
    switch error {
    case .identical(let base, let tuned):
      self.init(
        "identical", .wrongData, "\(tuned) is the same as \(base): there is nothing to extract",
        path: tuned)
    case .missing(let tensors, let tuned):
      let more = tensors.count > 1 ? " and \(tensors.count - 1) more of the base's tensors" : ""
      self.init(
        "missing_tensors", .wrongData,
        "\(tuned) lacks \(tensors.first ?? "-")\(more); is it a model tuned from this base?",
        path: tuned, tensor: tensors.first)
    case .shape(let tensor, let base, let tuned):
      self.init(
        "shape", .wrongData,
        "\(tensor) is \(Text.shape(base)) in the base and \(Text.shape(tuned)) in the tuned model",
        tensor: tensor)
    case .noSize:
      self.init(
        "rank", .wrongUsage, "a LoRA needs --rank R, or --energy X for as many as it takes")
    case .notFinite(let tensor):
      self.init(
        "not_finite", .wrongData,
        "\(tensor) holds numbers that are not finite, in one of the models", tensor: tensor)
    case .unsuited(let tensor, let method):
      self.init(
        "unsuited", .wrongData,
        "\(tensor) did not change as \(method.rawValue) changes a matrix; use --method lora",
        tensor: tensor)
    }
  }
}
