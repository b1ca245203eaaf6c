/// Which file a model is opened by.
struct CheckpointLocation {
  enum Weights: Equatable {
    case file(String)
    case index(String)
  }

  static let fileName = "model.safetensors"
  static let fileSuffix = ".safetensors"
  static let indexSuffix = ".safetensors.index.json"
  /// Files with the weights' suffix that stand beside weights and hold none.
  static let companions: Set<String> = ["undo.safetensors"]
  /// What other formats' weight files end in.
  static let foreignSuffixes = [
    ".bin", ".bin.index.json", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx",
  ]

  let folder: String
  let weights: Weights
  private(set) var problems: [CheckpointProblem] = []

  init(_ path: String) throws(CheckpointError) {
    guard FileSystem.isReachable(path) else { throw .notFound(path: path) }
    guard !FileSystem.isFolder(path) else {
      try self.init(folder: path)
      return
    }
    let name = FileSystem.name(of: path)
    if Self.foreignSuffixes.contains(where: name.hasSuffix) {
      throw .unsupportedWeights(path: path)
    }
    self.init(
      folder: FileSystem.parent(of: path),
      weights: name.hasSuffix(Self.indexSuffix) ? .index(name) : .file(name))
  }

  private init(folder: String, weights: Weights) {
    self.folder = folder
    self.weights = weights
  }

  /// In transformers' order: what `config.json` names, `model.safetensors`, its index; then the only
  /// index, the only file of another name.
  private init(folder: String) throws(CheckpointError) {
    self.folder = folder
    let names: [String]
    do throws(FileError) {
      names = try FileSystem.names(in: folder)
    } catch { throw .file(error) }
    let files = names.filter { $0.hasSuffix(Self.fileSuffix) && !Self.companions.contains($0) }
    let indices = names.filter { $0.hasSuffix(Self.indexSuffix) }
    let standardIndex = "model" + Self.indexSuffix

    if let name = Self.configuredWeights(in: folder), files.contains(name) {
      weights = .file(name)
    } else if let name = Self.configuredWeights(in: folder), indices.contains(name) {
      weights = .index(name)
    } else if files.contains(Self.fileName) {
      weights = .file(Self.fileName)
      if indices.contains(standardIndex) { problems = [.shadowedIndex(standardIndex)] }
    } else if indices.contains(standardIndex) {
      weights = .index(standardIndex)
    } else if indices.count > 1 {
      throw .ambiguous(folder: folder, candidates: indices)
    } else if let index = indices.first {
      weights = .index(index)
    } else if files.count > 1 {
      throw .ambiguous(folder: folder, candidates: files)
    } else if let file = files.first {
      weights = .file(file)
    } else if let name = names.first(where: { Self.foreignSuffixes.contains(where: $0.hasSuffix) })
    {
      throw .unsupportedWeights(path: FileSystem.join(folder, name))
    } else {
      throw .noWeights(folder: folder)
    }
  }

  /// The `transformers_weights` of the folder's `config.json`.
  private static func configuredWeights(in folder: String) -> String? {
    guard let file = try? InputFile(path: FileSystem.join(folder, "config.json")),
      let bytes = try? file.readAll(limit: 1 << 24),
      let config = try? JSONValue.parse(bytes, allowsNonFinite: true)
    else { return nil }
    return config["transformers_weights"]?.string
  }
}
