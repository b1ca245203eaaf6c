import Operations
import Safetensors

/// What `inspect` says of an undo record.
struct UndoInspectionRendering {
  private let path: String
  /// The record, or why it cannot be used.
  private let content: Result<UndoInspection, UndoError>

  init(path: String) throws {
    self.path = path
    do {
      content = .success(try UndoInspection(path: path))
    } catch let error as UndoError {
      content = .failure(error)
    }
  }

  var isSound: Bool { if case .success = content { true } else { false } }

  var lines: [String] {
    switch content {
    case .success(let inspection): Self.lines(inspection)
    case .failure(let error):
      ["\(path): undo record", "  problem: " + Failure(undo: error).message, "  NOT sound"]
    }
  }

  var json: JSONValue {
    switch content {
    case .success(let inspection): Self.json(inspection)
    case .failure(let error):
      [
        "kind": "undo", "sound": false,
        "problems": .array([.string(Failure(undo: error).message)]),
      ]
    }
  }

  private static func lines(_ inspection: UndoInspection) -> [String] {
    var lines = ["\(inspection.path): undo record, \(Text.bytes(inspection.bytes))"]
    lines.append("  from          \(inspection.merged)")
    lines.append("  to            \(inspection.base)")
    for adapter in inspection.adapters {
      let weight = adapter.weight == 1 ? "" : " × \(adapter.weight)"
      lines.append("  adapter       \(adapter.tensors)\(weight)")
    }
    var table = Table([
      ("coding", .left), ("tensors", .right), ("bytes in the base", .right), ("here", .right),
    ])
    for part in inspection.parts {
      table.add([
        part.coding, Text.grouped(part.tensors), Text.grouped(part.baseBytes),
        Text.grouped(part.bytes),
      ])
    }
    lines += [""] + table.lines + [""]
    if !inspection.files.isEmpty {
      lines.append("  files         \(inspection.files.joined(separator: ", "))")
    }
    lines.append("  sound")
    return lines
  }

  private static func json(_ inspection: UndoInspection) -> JSONValue {
    [
      "kind": "undo",
      "bytes": .int(inspection.bytes),
      "merged_fingerprint": .string(inspection.merged.description),
      "base_fingerprint": .string(inspection.base.description),
      "adapters": .array(
        inspection.adapters.map {
          ["tensors": .string($0.tensors.description), "weight": .double($0.weight)]
        }),
      "codings": .array(
        inspection.parts.map {
          [
            "coding": .string($0.coding), "tensors": .int($0.tensors),
            "base_bytes": .int($0.baseBytes), "bytes": .int($0.bytes),
          ]
        }),
      "files": .array(inspection.files.map { .string($0) }),
      "sound": true,
      "problems": [],
    ]
  }
}
