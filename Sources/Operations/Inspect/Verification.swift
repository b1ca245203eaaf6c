import Adapters
import Kernels
import Safetensors

/// Recomputes every check that a file carries: structure, checksums, the base's fingerprint.
public struct Verification: Sendable {
  /// Something that is not as it should be.
  public enum Problem: Sendable, Equatable {
    case checkpoint(CheckpointProblem)
    case quantized(QuantizedProblem)
    case adapter(AdapterProblem)
    /// The base is not the one that the container names.
    case base(stated: Fingerprint, found: Fingerprint)
    /// There is nothing to compare with: the adapter names no base.
    case noFingerprint
    /// Two models differ in names, types, shapes or bytes.
    case differs(found: Fingerprint, other: Fingerprint)
    /// The undo record is not what was written.
    case undoRecord(reason: String)
    /// An adapter tensor that finds no base tensor.
    case unmatched(AdapterError.Unmatched)
  }

  public let path: String
  /// Tensors whose structure, and bytes where there is something to check them against, were looked at.
  public let checked: Int
  public let problems: [Problem]
  /// The fingerprint of the model at `path`; nil for an adapter.
  public let fingerprint: Fingerprint?

  public var isSound: Bool { problems.isEmpty }

  /// - Parameter other: for an adapter its base; for a model the one it should equal; for an undo record
  ///   the model that it starts from or leads to.
  public init(path: String, against other: String?) throws {
    self.path = path
    var problems: [Problem] = []
    if Self.isAdapter(path) {
      let inspection = try AdapterInspection(path: path, base: other)
      problems = inspection.problems.map(Problem.adapter)
      problems += (inspection.fit?.unmatched ?? []).map(Problem.unmatched)
      let file = try AdapterFile(path: path)
      checked = file.weights.header.tensors.count
      fingerprint = nil
      if let other, file.format == .container {
        if let stated = file.container?.base {
          let found = try Fingerprint(of: Checkpoint(path: other))
          if found != stated { problems.append(.base(stated: stated, found: found)) }
        } else {
          problems.append(.noFingerprint)
        }
      }
    } else if UndoInspection.isRecord(path) {
      fingerprint = nil
      (checked, problems) = try Self.check(record: path, against: other)
    } else {
      let checkpoint = try Checkpoint(path: path, tolerant: true)
      problems = checkpoint.problems.map(Problem.checkpoint)
      if let base = try? BaseModel(path: path) {
        problems += QuantizedModel(base).problems.map(Problem.quantized)
      }
      checked = checkpoint.tensors.count
      let found = try Fingerprint(of: checkpoint)
      fingerprint = found
      if let other {
        let expected = try Fingerprint(of: Checkpoint(path: other))
        if found != expected { problems.append(.differs(found: found, other: expected)) }
      }
    }
    self.problems = problems
  }

  /// Checks an undo record: how many tensors it brings back, and what is wrong with it.
  private static func check(
    record path: String, against other: String?
  ) throws -> (tensors: Int, [Problem]) {
    do {
      let record = try UndoInspection(path: path)
      let tensors = record.parts.reduce(0) { $0 + $1.tensors }
      guard let other else { return (tensors, []) }
      let found = try Fingerprint(of: Checkpoint(path: other))
      let fits = found == record.merged || found == record.base
      return (tensors, fits ? [] : [.differs(found: record.merged, other: found)])
    } catch UndoError.damaged(_, let reason) {
      return (0, [.undoRecord(reason: reason)])
    }
  }

  /// Whether `path` is an adapter rather than a model.
  public static func isAdapter(_ path: String) -> Bool {
    if FileSystem.isFolder(path) {
      return FileSystem.isRegularFile(FileSystem.join(path, AdapterFile.configName))
    }
    guard FileSystem.isRegularFile(path) else { return false }
    if [".bin", ".pt", ".pth"].contains(where: path.hasSuffix) {
      return FileSystem.name(of: path).hasPrefix("adapter_")
    }
    guard let file = try? SafetensorsFile(path: path) else { return false }
    return file.header.metadata?[ContainerMetadata.versionKey] != nil
      || FileSystem.name(of: path) == AdapterFile.weightsName
  }
}
