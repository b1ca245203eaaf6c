import Adapters
import Safetensors

/// The configuration of a LoRA whose scale is 1 everywhere (α = r), in the fields that every version of
/// PEFT knows.
struct LoRAConfiguration {
  /// Rank by module path.
  var ranks: [(module: String, rank: Int)] = []
  /// Rank by path of bare parameters.
  var parameterRanks: [(parameter: String, rank: Int)] = []
  var baseModel: String?
  var taskType: String?
  var storesTransposed = false
  /// PEFT's `bias`: `none`, `lora_only` or `all`.
  var bias = "none"
  var modulesToSave: [String] = []

  /// The fields of `adapter_config.json`. The commonest rank is `r`; the others are in `rank_pattern`,
  /// under keys that match one path only.
  var json: JSONObject {
    var counts: [Int: Int] = [:]
    let all = ranks + parameterRanks.map { (module: $0.parameter, rank: $0.rank) }
    for entry in all { counts[entry.rank, default: 0] += 1 }
    let common = counts.max { ($0.value, -$0.key) < ($1.value, -$1.key) }?.key ?? 8
    var patterns = JSONObject()
    for entry in all where entry.rank != common {
      patterns["^" + Self.escaped(entry.module)] = .int(entry.rank)
    }
    var object: JSONObject = [
      "peft_type": "LORA",
      "task_type": taskType.map(JSONValue.string) ?? .null,
      "base_model_name_or_path": baseModel.map(JSONValue.string) ?? .null,
      "revision": .null,
      "inference_mode": true,
      "r": .int(common),
      "lora_alpha": .int(common),
      "lora_dropout": 0.0,
      "bias": .string(bias),
      "fan_in_fan_out": .bool(storesTransposed),
      "target_modules": .array(Self.sorted(ranks.map(\.module))),
      "modules_to_save": modulesToSave.isEmpty ? .null : .array(Self.sorted(modulesToSave)),
      "init_lora_weights": true,
      "layers_to_transform": .null,
      "layers_pattern": .null,
      "rank_pattern": .object(patterns),
      "alpha_pattern": .object(patterns),
    ]
    if !parameterRanks.isEmpty {
      object["target_parameters"] = .array(Self.sorted(parameterRanks.map(\.parameter)))
    }
    return object
  }

  static func sorted(_ names: [String]) -> [JSONValue] {
    Set(names).sorted(by: NaturalOrder.precedes).map { .string($0) }
  }

  /// `path` as a regular expression that matches itself.
  private static func escaped(_ path: String) -> String {
    path.map { $0.isLetter || $0.isNumber || $0 == "_" ? String($0) : "\\" + String($0) }.joined()
  }
}

/// The prefix that PEFT puts before a module's path in its files.
let adapterPrefix = "base_model.model."
