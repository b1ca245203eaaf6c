import Safetensors

/// An adapter on disk: a PEFT folder, or one file in the container format.
public struct AdapterFile: Sendable {
  public enum Format: String, Sendable {
    /// `adapter_config.json` and `adapter_model.safetensors` in a folder.
    case folder
    /// One `.safetensors` file with the configuration in its metadata (spec/adapter-container.md).
    case container
  }

  public static let configName = "adapter_config.json"
  public static let weightsName = "adapter_model.safetensors"

  /// The folder or the file that was named.
  public let path: String
  public let format: Format
  public let config: AdapterConfig
  public let weights: SafetensorsFile
  /// What the container states of itself; nil for a folder.
  public let container: ContainerMetadata?

  /// Opens the adapter at `path`.
  public init(path: String) throws {
    guard FileSystem.isReachable(path) else { throw AdapterError.notFound(path: path) }
    if FileSystem.isFolder(path) {
      try self.init(folder: path)
    } else if [".bin", ".pt", ".pth"].contains(where: path.hasSuffix) {
      throw AdapterError.pickle(path: path)
    } else {
      try self.init(container: path)
    }
  }

  private init(folder: String) throws {
    let configPath = FileSystem.join(folder, Self.configName)
    guard FileSystem.isRegularFile(configPath) else {
      throw AdapterError.noConfiguration(folder: folder)
    }
    let weightsPath = FileSystem.join(folder, Self.weightsName)
    guard FileSystem.isRegularFile(weightsPath) else {
      let pickle = FileSystem.join(folder, "adapter_model.bin")
      throw FileSystem.isRegularFile(pickle)
        ? AdapterError.pickle(path: pickle) : AdapterError.noWeights(folder: folder)
    }
    self.init(
      path: folder, format: .folder,
      config: try AdapterConfig(InputFile(path: configPath).readAll(), path: configPath),
      weights: try Self.openWeights(weightsPath), container: nil)
  }

  /// The tensors at `path`; errors name the file.
  public static func openWeights(_ path: String) throws(CheckpointError) -> SafetensorsFile {
    do throws(SafetensorsError) {
      return try SafetensorsFile(path: path)
    } catch {
      throw .shard(path: path, error)
    }
  }

  private init(container file: String) throws {
    let weights = try Self.openWeights(file)
    if let metadata = try ContainerMetadata(weights) {
      self.init(
        path: file, format: .container, config: try AdapterConfig(metadata.config, path: file),
        weights: weights, container: metadata)
      return
    }
    // A PEFT folder may be named by its weights file.
    let folder = FileSystem.parent(of: file)
    guard FileSystem.name(of: file) == Self.weightsName,
      FileSystem.isRegularFile(FileSystem.join(folder, Self.configName))
    else { throw AdapterError.notAContainer(path: file) }
    try self.init(folder: folder)
  }

  private init(
    path: String, format: Format, config: AdapterConfig, weights: SafetensorsFile,
    container: ContainerMetadata?
  ) {
    self.path = path
    self.format = format
    self.config = config
    self.weights = weights
    self.container = container
  }
}
