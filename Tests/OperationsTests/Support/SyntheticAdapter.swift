import Foundation
import Kernels
import Safetensors

/// An adapter folder made for one test.
enum SyntheticAdapter {
  /// Writes `tensors` and `config` as a PEFT folder at `path`.
  static func write(_ path: String, config: JSONObject, tensors: [String: StoredTensor]) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try writeFile(path + "/adapter_model.safetensors", tensors)
    try Data(JSONValue.object(config).serialized().utf8)
      .write(to: URL(filePath: path + "/adapter_config.json"))
  }

  /// A rank-1 LoRA of ones on `modules` (module → out, in), scale 1.
  static func ones(
    _ path: String, modules: [(String, Int, Int)], config: JSONObject = [:],
    extra: [String: StoredTensor] = [:]
  ) throws {
    var tensors = extra
    for (module, out, into) in modules {
      let prefix = "base_model.model.\(module)."
      tensors[prefix + "lora_A.weight"] = .f32([1, into], Array(repeating: 1, count: into))
      tensors[prefix + "lora_B.weight"] = .f32([out, 1], Array(repeating: 1, count: out))
    }
    var whole: JSONObject = [
      "peft_type": "LORA", "r": 1, "lora_alpha": 1,
      "target_modules": .array(modules.map { .string($0.0) }),
    ]
    for entry in config.entries { whole[entry.key] = entry.value }
    try write(path, config: whole, tensors: tensors)
  }
}

extension StoredTensor {
  static func f32(_ shape: [Int], _ values: [Float]) -> StoredTensor {
    StoredTensor(dtype: .f32, shape: shape, bytes: ElementType.f32.rounded(values))
  }

  static func bf16(_ shape: [Int], _ values: [Float]) -> StoredTensor {
    StoredTensor(dtype: .bf16, shape: shape, bytes: ElementType.bf16.rounded(values))
  }
}

/// Writes a model folder with one file.
func writeModel(_ path: String, config: JSONObject, _ tensors: [String: StoredTensor]) throws {
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  try writeFile(path + "/model.safetensors", tensors)
  try Data(JSONValue.object(config).serialized(style: .python(indent: 2)).utf8)
    .write(to: URL(filePath: path + "/config.json"))
}
