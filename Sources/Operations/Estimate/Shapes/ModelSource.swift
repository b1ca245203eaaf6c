import Adapters
import Safetensors

extension ModelShapes {
  /// The shapes of the model at `path`: from the headers of its weights, or where there are none from
  /// `config.json`.
  ///
  /// - Parameter path: a folder, a weight file, or a `config.json`.
  public init(path: String) throws(EstimateError) {
    guard FileSystem.isReachable(path) else { throw .notFound(path: path) }
    if FileSystem.name(of: path).hasSuffix(".json"), !path.hasSuffix(".safetensors.index.json") {
      self = try Architectures.shapes(ArchitectureConfig(path: path))
      return
    }
    let folder = FileSystem.isFolder(path) ? path : FileSystem.parent(of: path)
    let configPath = FileSystem.join(folder, "config.json")
    let config =
      FileSystem.isReachable(configPath) ? try ArchitectureConfig(path: configPath) : nil
    let checkpoint: Checkpoint
    do throws(CheckpointError) {
      checkpoint = try Checkpoint(path: path)
    } catch {
      switch error {
      case .noWeights, .unsupportedWeights:
        guard let config else { throw .missingConfig(folder: folder) }
        self = try Architectures.shapes(config)
        return
      default: throw .checkpoint(error)
      }
    }
    try self.init(checkpoint, config: config)
    if let base = try? BaseModel(path: path) {
      quantizable = Set(
        LinearWeights(base).layers.map { String($0.tensor.info.name.dropLast(".weight".count)) })
    }
  }
}
