import Adapters
import Safetensors

/// An adapter in whatever format it was given.
enum AdapterSource {
  case peft(AdapterFile)
  case kohya(SafetensorsFile)
  case diffusers(SafetensorsFile)
  case mlx(SafetensorsFile, config: JSONObject, configPath: String)
  case oneLoRAListing(SafetensorsFile, modules: [(path: String, b: TensorInfo)])

  /// The file or the folder, for messages.
  var path: String {
    switch self {
    case .peft(let file): file.path
    case .kohya(let file), .diffusers(let file), .mlx(let file, _, _),
      .oneLoRAListing(let file, _):
      file.path
    }
  }

  /// The weights.
  var weights: SafetensorsFile {
    switch self {
    case .peft(let file): file.weights
    case .kohya(let file), .diffusers(let file), .mlx(let file, _, _),
      .oneLoRAListing(let file, _):
      file
    }
  }

  /// The names of a file that is no PEFT adapter.
  var scheme: NamingScheme? {
    switch self {
    case .peft: nil
    case .kohya: .kohya
    case .diffusers: .diffusers
    case .mlx: .mlx
    case .oneLoRAListing: .oneLoRAListing
    }
  }

  /// Finds out what is at `path`: by its configuration, else by its tensors' names.
  init(path: String) throws {
    let isFolder = FileSystem.isFolder(path)
    let folder = isFolder ? path : FileSystem.parent(of: path)
    let weights = isFolder ? FileSystem.join(path, MLX.weightsName) : path
    let configPath = FileSystem.join(folder, AdapterFile.configName)
    // Checkpoints of mlx-lm stand beside the last one: `0000100_adapters.safetensors`.
    if FileSystem.name(of: weights).hasSuffix(MLX.weightsName), FileSystem.isRegularFile(weights),
      FileSystem.isRegularFile(configPath),
      case .object(let config)? = try? JSONValue.parse(
        InputFile(path: configPath).readAll(), allowsNonFinite: true),
      MLX.owns(config)
    {
      self = .mlx(try AdapterFile.openWeights(weights), config: config, configPath: configPath)
      return
    }
    do {
      self = .peft(try AdapterFile(path: path))
    } catch AdapterError.notAContainer {
      self = try Self.foreign(AdapterFile.openWeights(path))
    }
  }

  /// The scheme that most names follow; all of them must.
  private static func foreign(_ file: SafetensorsFile) throws -> AdapterSource {
    let names = file.header.tensors.map(\.name)
    if names.contains(where: { Kohya.parse($0) != nil }) { return .kohya(file) }
    if names.contains(where: { Diffusers.parse($0) != nil }) { return .diffusers(file) }
    if let modules = OneLoRAListing.modules(file) {
      return .oneLoRAListing(file, modules: modules)
    }
    if let name = names.first(where: { $0.hasPrefix("base_model.model.") }) {
      throw ConversionError.noConfiguration(path: file.path, tensor: name)
    }
    if let name = names.first(where: { $0.hasSuffix(".lora_a") }) {
      throw ConversionError.unexpectedTensor(
        path: file.path, tensor: name, scheme: .mlx,
        reason: "needs its scale, which adapter_config.json beside adapters.safetensors states")
    }
    throw ConversionError.unknownNaming(
      path: file.path, tensor: names.first, looked: NamingScheme.allCases)
  }
}
