import Operations
import Safetensors

/// What `inspect` says of a model.
struct ModelRendering {
  let inspection: ModelInspection
  let listsTensors: Bool

  var lines: [String] {
    var lines = ["\(inspection.path): model" + (inspection.modelType.map { ", \($0)" } ?? "")]
    lines.append("  parameters    \(Text.grouped(inspection.parameters))")
    let types = inspection.elements.map { "\($0.dtype.rawValue) \(Text.grouped($0.count))" }
    lines.append("  stored as     \(types.joined(separator: ", "))")
    lines.append(
      "  bytes         \(Text.grouped(inspection.bytes)) (\(Text.bytes(inspection.bytes)))")
    lines.append("  tensors       \(Text.grouped(inspection.tensors.count))")
    lines.append("  shards        \(Text.grouped(inspection.shards.count))")
    lines.append("  quantization  \(inspection.quantization ?? "none")")
    if listsTensors {
      var table = Table([
        ("tensor", .left), ("type", .left), ("shape", .left), ("file", .left), ("offset", .right),
        ("bytes", .right),
      ])
      for tensor in inspection.tensors {
        table.add([
          tensor.name, tensor.dtype.rawValue, Text.shape(tensor.shape), tensor.file,
          Text.grouped(tensor.offset), Text.grouped(tensor.bytes),
        ])
      }
      lines += [""] + table.lines + [""]
    }
    lines += problems.map { "  problem: " + $0 }
    lines.append(inspection.isSound ? "  sound" : "  NOT sound")
    return lines
  }

  var json: JSONValue {
    var dtypes = JSONObject()
    for (dtype, count) in inspection.elements { dtypes[dtype.rawValue] = .int(count) }
    let tensors: JSONValue =
      listsTensors
      ? .array(
        inspection.tensors.map { tensor in
          [
            "name": .string(tensor.name), "dtype": .string(tensor.dtype.rawValue),
            "shape": .array(tensor.shape.map { .int($0) }), "file": .string(tensor.file),
            "offset": .int(tensor.offset), "bytes": .int(tensor.bytes),
          ]
        }) : .int(inspection.tensors.count)
    return [
      "kind": "model",
      "model_type": inspection.modelType.map(JSONValue.string) ?? .null,
      "parameters": .int(inspection.parameters),
      "bytes": .int(inspection.bytes),
      "dtypes": .object(dtypes),
      "tensors": tensors,
      "shards": .int(inspection.shards.count),
      "quantization": inspection.quantization.map(JSONValue.string) ?? .null,
      "sound": .bool(inspection.isSound),
      "problems": .array(problems.map { .string($0) }),
    ]
  }

  private var problems: [String] {
    inspection.problems.map(\.sentence) + inspection.weightProblems.map(\.sentence)
  }
}
