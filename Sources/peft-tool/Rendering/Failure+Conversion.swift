import Operations

extension Failure {
  init(conversion error: ConversionError) {
    switch error {
    case .unknownNaming(let path, let tensor, let looked):
      let example = tensor.map { " (the first is \($0))" } ?? ""
      self.init(
        "unknown_naming", .wrongData,
        "the names in \(path)\(example) follow none of the schemes looked for: "
          + looked.map(\.form).joined(separator: ", "),
        path: path, tensor: tensor)
    case .needsBase(let path, let reason):
      self.init(
        "needs_base", .wrongUsage, "\(path): \(reason); add --base MODEL", path: path)
    case .noEquivalent(let path, let module, let target, let reason):
      self.init(
        "no_equivalent", .wrongData,
        "\(path) cannot be written as \(target)\(module.map { ", because of \($0)" } ?? ""): "
          + reason
          + (module == nil
            ? "" : "; peft-tool merge BASE ADAPTER OUT makes a model that needs no adapter"),
        path: path)
    case .unresolvedName(let path, let tensor, let scheme, let candidates):
      let found =
        candidates.isEmpty
        ? "no module of the base" : "several: \(candidates.joined(separator: ", "))"
      self.init(
        "unresolved_name", .wrongData,
        "\(path): \(tensor), read as \(scheme.form), stands for \(found); is this its base?",
        path: path, tensor: tensor)
    case .unexpectedTensor(let path, let tensor, let scheme, let reason):
      self.init(
        "unexpected_tensor", .wrongData,
        "\(path): \(tensor) \(reason); the names were read as \(scheme.form)", path: path,
        tensor: tensor)
    case .otherBase(let path, let base, let tensor):
      self.init(
        "other_base", .wrongData,
        "\(path) has \(tensor ?? "tensors"), which fits nothing in \(base); name the adapter's own "
          + "base with --base",
        path: path, tensor: tensor)
    case .prefix(let prefix, let scheme, let known):
      self.init(
        "prefix", .wrongUsage,
        "names that begin with \(prefix) are not read as \(scheme.form); choose --prefix from "
          + known.joined(separator: ", "))
    case .noConfiguration(let path, let tensor):
      self.init(
        "no_config", .missingInput,
        "\(path) has PEFT's names (\(tensor)) and no adapter_config.json beside it, which states the "
          + "scale; put the two into one folder and name that",
        path: path, tensor: tensor)
    case .severalModels(let path, let prefixes):
      self.init(
        "several_models", .wrongUsage,
        "\(path) holds adapters of \(prefixes.joined(separator: ", ")); choose one with --prefix",
        path: path)
    }
  }
}

extension NamingScheme {
  /// The scheme with an example of a name.
  var form: String {
    switch self {
    case .kohya: "kohya (lora_unet_….lora_down.weight)"
    case .diffusers: "diffusers (unet.….lora_A.weight)"
    case .mlx: "mlx-lm (….lora_a)"
    case .oneLoRAListing: "1LoRA's listing (….linear.weight and ….b)"
    }
  }
}
