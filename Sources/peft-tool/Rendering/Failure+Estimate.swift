import Operations
import Safetensors

extension Failure {
  init(estimate error: EstimateError) {
    switch error {
    case .notFound(let path):
      self.init("not_found", .missingInput, "there is no \(path)", path: path)
    case .file(let error): self.init(file: error)
    case .checkpoint(let error): self.init(checkpoint: error)
    case .quantizationState(let tensor):
      self.init(
        "quantization", .wrongData,
        "\(tensor) does not describe its weight as bitsandbytes does; quantize the model once more",
        tensor: tensor)
    case .configNotJSON(let path, let error):
      self.init(
        "config", .wrongData, "\(path) is not JSON (byte \(error.offset)); download it again",
        path: path)
    case .missingConfig(let folder):
      self.init(
        "no_weights", .missingInput,
        "\(folder) holds neither safetensors weights nor config.json", path: folder)
    case .unknownArchitecture(let path, let type, let known):
      let found = type.map { "model_type \($0)" } ?? "no model_type"
      self.init(
        "unknown_architecture", .wrongData,
        "\(path) has \(found), whose shapes are known from weights only: put them beside it "
          + "(known without: \(known.joined(separator: ", ")))",
        path: path)
    case .configField(let path, let field, let found):
      let state = found.map { "sets \(field) to \($0), which no such model has" }
      self.init(
        "config", .wrongData,
        "\(path) \(state ?? "lacks \(field)"); complete it, or add the weights",
        path: path)
    case .unknownMethod(let name, let known):
      self.init(
        "unknown_method", .wrongUsage,
        "there is no method \(name); there are \(known.joined(separator: ", "))")
    case .unknownAddition(let name, let known):
      self.init(
        "unknown_method", .wrongUsage,
        "the method takes no +\(name), only +\(known.joined(separator: " and +"))")
    case .noRank(let method):
      self.init("rank", .wrongUsage, "\(method) has no rank; leave out --rank")
    case .invalidTargets(let text):
      self.init(
        "targets", .wrongUsage,
        "--targets \(text) is neither all-linear, nor names with commas, nor a regular expression")
    case .nothingTargeted(let targets):
      self.init(
        "targets", .wrongData,
        "no layer that the method can adapt matches \(targets); peft-tool inspect MODEL --tensors "
          + "lists the names")
    case .method(let error, let method, let module):
      self.init(
        "method", .wrongData, "\(method)\(module.map { " on \($0)" } ?? ""): \(error.clause)")
    case .outOfRange(let option, let value, let allowed):
      self.init(
        "out_of_range", .wrongUsage,
        "--\(option) \(value) is out of range; it can be \(allowed.lowerBound) to "
          + "\(allowed.upperBound)")
    case .tooLarge:
      self.init(
        "out_of_range", .wrongUsage,
        "the sizes exceed what can be counted; use a smaller batch or sequence")
    }
  }
}
