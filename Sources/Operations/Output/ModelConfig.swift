import Kernels
import Safetensors

/// `config.json` with some fields corrected. Everything else keeps its spelling and its order:
/// transformers is strict about `1` and `1.0`.
struct ModelConfig: Sendable {
  private(set) var json: JSONObject
  private(set) var edits: [String] = []

  init(_ json: JSONObject) {
    self.json = json
  }

  /// Sets `key` to `value` at the top level and, where it stands there instead, in `text_config`.
  mutating func set(_ key: String, to value: JSONValue) {
    if json[key] == nil, case .object(var text)? = json["text_config"], text[key] != nil {
      text[key] = value
      json["text_config"] = .object(text)
    } else {
      guard json[key] != value else { return }
      json[key] = value
    }
    edits.append(key)
  }

  /// Removes `key`.
  mutating func remove(_ key: String) {
    guard json[key] != nil else { return }
    json[key] = nil
    edits.append(key)
  }

  /// States the weights' element type, under the key that is there (`dtype`, or `torch_dtype` of older
  /// versions).
  mutating func setElementType(_ element: ElementType) {
    let name: JSONValue =
      switch element {
      case .f32: "float32"
      case .f16: "float16"
      case .bf16: "bfloat16"
      }
    for key in ["dtype", "torch_dtype"] where json[key] != nil { set(key, to: name) }
  }

  /// The file's text, as transformers lays it out.
  var text: String {
    JSONValue.object(json).serialized(style: .python(indent: 2)) + "\n"
  }
}
