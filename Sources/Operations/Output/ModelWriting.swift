import Safetensors

/// Writes an output model with all that belongs in its folder: it appears whole, or not at all.
struct ModelWriting {
  let model: OutputModel
  /// `config.json` with its edits.
  let config: ModelConfig?
  /// The model whose other files are copied.
  let source: String
  let output: String
  let replacing: Bool
  let threads: Int

  /// - Parameter check: called when all tensors are written; an error leaves no output.
  func run(progress: ProgressReport?, check: () throws -> Void = {}) throws {
    let target = try ModelOutput(
      at: output, files: model.plan.shards.count, replacing: replacing)
    _ = try OutputExecutor(
      plan: model.plan, folder: target.folder, threads: threads, progress: progress
    ).run()
    try check()
    if target.isFolder { try writeCompanions(to: target.folder) }
    try target.commit(model.plan.shards[0].name)
  }

  private func writeCompanions(to folder: String) throws {
    if let index = model.index {
      try ModelFolder.write(index.text, to: FileSystem.join(folder, index.name))
    }
    var written: Set<String> = []
    if let config, !config.edits.isEmpty {
      try ModelFolder.write(config.text, to: FileSystem.join(folder, "config.json"))
      written.insert("config.json")
    }
    if FileSystem.isFolder(source) {
      try ModelFolder.copyCompanions(from: source, to: folder, except: written)
    }
  }
}
