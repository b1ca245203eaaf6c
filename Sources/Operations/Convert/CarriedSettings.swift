import Adapters
import Safetensors

/// What an `adapter_config.json` says that formats without one have no place for, kept in the metadata
/// of their file: nothing that changes numbers, which the tensors and their α state.
enum CarriedSettings {
  static let metadataKey = "peft_tool.settings"

  private static let names: Set<String> = [
    "task_type", "base_model_name_or_path", "revision", "auto_mapping", "lora_dropout",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    "fan_in_fan_out",
  ]

  /// The settings among `entries` that are kept.
  static func of(_ entries: [JSONObject.Entry]) -> JSONObject {
    JSONObject(entries.filter { names.contains($0.key) && !$0.value.isNull })
  }

  /// Metadata of a file that has `metadata` and goes with `settings`.
  ///
  /// - Parameter modules: the paths of all modules: as targets they say nothing new.
  static func adding(
    _ settings: JSONObject, modules: [String], to metadata: [String: String]
  ) -> [String: String] {
    var kept = of(settings.entries)
    if kept["lora_dropout"]?.double == 0 { kept["lora_dropout"] = nil }
    if kept["fan_in_fan_out"] == false { kept["fan_in_fan_out"] = nil }
    if let targets = kept["target_modules"]?.array?.compactMap(\.string),
      Set(targets) == Set(modules)
    {
      kept["target_modules"] = nil
    }
    guard !kept.isEmpty else { return metadata }
    var result = metadata
    result[metadataKey] = JSONValue.object(kept).serialized(style: .pythonLine)
    return result
  }

  /// The settings that the metadata of a file keeps, and the metadata without them and without what
  /// holds for that file only: hashes of its bytes and the framework that wrote it.
  static func split(
    _ metadata: [String: String]?
  ) -> (settings: JSONObject, metadata: [String: String]) {
    var rest = metadata ?? [:]
    let settings = rest.removeValue(forKey: metadataKey)
      .flatMap { try? JSONValue.parse($0).object }.map { of($0.entries) }
    rest = rest.filter { key, _ in
      key != "format" && !key.hasPrefix("sshs_") && key != "modelspec.hash_sha256"
    }
    return (settings ?? JSONObject(), rest)
  }
}
