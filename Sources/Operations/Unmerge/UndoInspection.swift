import Adapters
import Safetensors

/// What an undo record holds.
public struct UndoInspection: Sendable {
  /// Tensors that come back in one way, and the bytes that this takes in the record.
  public struct Part: Sendable, Equatable {
    /// As the record spells it: `same`, `candidates`, `difference`, `original`.
    public let coding: String
    public let tensors: Int
    /// Of the tensors in the base.
    public let baseBytes: Int
    /// Of the record.
    public let bytes: Int
  }

  public let path: String
  public let bytes: Int
  /// The models that it leads from and to.
  public let merged: Fingerprint
  public let base: Fingerprint
  /// Fingerprints of the adapters' tensors, with their weights.
  public let adapters: [(tensors: Fingerprint, weight: Double)]
  public let parts: [Part]
  /// Files that it holds besides the weights.
  public let files: [String]

  /// Opens and checks the record at `path`.
  ///
  /// - Throws: `UndoError` where it is not sound.
  public init(path: String) throws {
    let record = try UndoRecord(path: path)
    let manifest = record.manifest
    let sizes = Dictionary(
      record.shards.flatMap(\.header.tensors).map { ($0.name, $0.byteCount) },
      uniquingKeysWith: { first, _ in first })
    self.path = path
    bytes = record.file.file.size
    merged = manifest.merged
    base = manifest.base
    adapters = manifest.adapters.map { ($0.identity.tensors, $0.weight) }
    parts = UndoCoding.allCases.compactMap { coding in
      let tensors = manifest.tensors.filter { $0.coding == coding }
      guard !tensors.isEmpty else { return nil }
      let names = tensors.flatMap {
        [
          UndoRecordLayout.factors($0.name), UndoRecordLayout.lengths($0.name),
          UndoRecordLayout.chunks($0.name),
        ]
      }
      return Part(
        coding: coding.rawValue, tensors: tensors.count,
        baseBytes: tensors.reduce(0) { $0 + (sizes[$1.name] ?? 0) },
        bytes: names.reduce(0) { $0 + (record.file.header[$1]?.byteCount ?? 0) })
    }
    files = manifest.files.map(\.name)
  }

  /// Whether the file at `path` says that it is an undo record.
  public static func isRecord(_ path: String) -> Bool {
    guard FileSystem.isRegularFile(path), let file = try? SafetensorsFile(path: path) else {
      return false
    }
    return file.header.metadata?[UndoRecordLayout.Key.version] != nil
  }
}
