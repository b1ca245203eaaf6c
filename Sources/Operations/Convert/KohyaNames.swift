import Adapters

/// The modules of a base by their names in sd-scripts' files, which have `_` where a path has a dot.
struct KohyaNames {
  /// Paths by their whole name.
  private var whole: [String: Set<String>] = [:]
  /// Paths by the names of their ends: a checkpoint of several models puts another name before each.
  private var ends: [String: Set<String>] = [:]
  private let prefix: String

  /// - Parameter prefix: what the file's names begin with: `lora_unet`.
  init(_ base: BaseModel, prefix: String) {
    self.prefix = prefix
    // Adapters use the names in memory; those of the checkpoint may differ.
    for name in Set(base.tensors.map(\.name)).union(base.tensorsInMemory.keys)
    where name.hasSuffix(".weight") {
      let path = name.dropLast(".weight".count)
      whole[Self.underscored(path), default: []].insert(String(path))
      var end = path
      while let dot = end.firstIndex(of: ".") {
        end = end[end.index(after: dot)...]
        ends[Self.underscored(end), default: []].insert(String(path))
      }
    }
  }

  /// The modules that `stem` may stand for.
  func modules(of stem: String) -> [String] {
    let name = String(stem.dropFirst(prefix.count + 1))
    return (whole[name] ?? ends[name] ?? []).sorted()
  }

  /// What checkpoints of a whole pipeline put before a model's names, and sd-scripts leaves out.
  private static let pipelinePrefixes = [
    "model.diffusion_model.", "cond_stage_model.transformer.",
    "conditioner.embedders.0.transformer.",
  ]

  /// How sd-scripts names the module at `path`.
  static func name(of path: String) -> String {
    let prefix = pipelinePrefixes.first { path.hasPrefix($0) } ?? ""
    return underscored(path.dropFirst(prefix.count))
  }

  static func underscored(_ path: some StringProtocol) -> String {
    String(path.map { $0 == "." ? "_" : $0 })
  }

  /// The prefix of a stem: `lora_unet`, `lora_te`, `lora_te1`, `lora_te2`, `lycoris`.
  static func prefix(of stem: String) -> String {
    let parts = stem.split(separator: "_")
    return parts.prefix(parts.first == "lycoris" ? 1 : 2).joined(separator: "_")
  }
}
