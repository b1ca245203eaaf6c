import Safetensors

/// The names in a record (spec/undo-record.md, "Tensors").
enum UndoRecordLayout {
  /// The record's name beside the files of a merged model.
  static let fileName = "undo.safetensors"
  static let version = "1"

  enum Key {
    static let version = "peft_tool.undo"
    static let manifest = "peft_tool.undo.manifest"
  }

  /// Q of the tensor `name`.
  static func factors(_ name: String) -> String { "factors/" + name }
  /// Bytes of each chunk of the tensor `name`.
  static func lengths(_ name: String) -> String { "lengths/" + name }
  /// The chunks of the tensor `name`, on end.
  static func chunks(_ name: String) -> String { "chunks/" + name }
  /// All that comes before the tensors' bytes in the base's weight file `name`.
  static func header(_ name: String) -> String { "header/" + name }
  /// A deflated file.
  static func file(_ name: String) -> String { "file/" + name }
  /// CRC-32 of all bytes of the record before this tensor, little-endian.
  static let checksum = "checksum"
  static let checksumSize = 4
}
