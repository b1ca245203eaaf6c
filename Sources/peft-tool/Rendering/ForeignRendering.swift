import Operations
import Safetensors

/// What `inspect` says of an adapter of another program.
struct ForeignRendering {
  let inspection: ForeignInspection
  let advice: ConsumerRendering?

  /// Kohya's names are resolved by the base's.
  private var base: String { inspection.scheme == .kohya ? " --base BASE" : "" }

  var lines: [String] {
    [
      "\(inspection.path): adapter, named as \(inspection.scheme.form)",
      "  tensors       \(Text.grouped(inspection.tensors))",
      "  parameters    \(Text.grouped(inspection.parameters))",
    ]
      + (advice?.lines ?? [
        "  peft-tool convert \(inspection.path) OUT\(base) makes a PEFT adapter of it"
      ])
  }

  var json: JSONValue {
    var object: JSONObject = [
      "kind": "adapter", "format": .string(inspection.scheme.rawValue),
      "tensors": .int(inspection.tensors), "trainable_parameters": .int(inspection.parameters),
      "sound": true, "problems": [],
    ]
    if let advice { object["advice"] = advice.json }
    return .object(object)
  }
}
