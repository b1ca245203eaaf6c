import Adapters
import Kernels
import Safetensors

/// Everything that an unmerge will do, decided from headers and the record.
public struct UnmergePlan: Sendable {
  public let request: UnmergeRequest
  /// The record that is followed; nil where the changes are taken away again by arithmetic.
  public let record: String?
  let model: OutputModel
  let checks: Checks
  let merged: Checkpoint
  /// Tensors of the output that the merged model has with other bytes, by name in natural order.
  public let restored: [String]
  /// Tensors of the merged model that the base did not have.
  public let dropped: [String]
  public let copied: Int
  /// Tensors that the adapters replaced, and that stay as they are.
  public let kept: [String]
  /// Files of the output's folder, besides the weights, that do not come from the merged model.
  let files: [(name: String, contents: [UInt8])]
  /// Files of the merged model's folder that the base did not have.
  let droppedFiles: [String]

  /// The output's weight files.
  public var shards: [String] { model.plan.shards.map(\.name) }
  public var bytes: Int { model.plan.fileBytes }
  public var isExact: Bool { record != nil }

  /// What must hold, by a record.
  struct Checks: Sendable {
    /// CRC-32 of every tensor of the output.
    var output: [String: UInt32] = [:]
    /// Tensors that watch the bytes of W' go by.
    var restored: [RestoredTensor] = []
    /// CRC-32 of tensors of the merged model that nothing is made of.
    var others: [(name: String, checksum: UInt32)] = []
  }

  public init(_ request: UnmergeRequest) throws {
    let folder =
      FileSystem.isFolder(request.merged)
      ? request.merged : FileSystem.parent(of: request.merged)
    let path = request.record ?? FileSystem.join(folder, UndoRecordLayout.fileName)
    if request.ignoresRecord || request.record == nil && !FileSystem.isRegularFile(path) {
      try self.init(subtracting: request)
    } else {
      try self.init(request, record: UndoRecord(path: path))
    }
  }

  init(
    _ request: UnmergeRequest, record: UndoRecord?, model: OutputModel, checks: Checks = Checks(),
    merged: Checkpoint, restored: [String], dropped: [String] = [], copied: Int,
    kept: [String] = [],
    files: [(name: String, contents: [UInt8])] = [], droppedFiles: [String] = []
  ) {
    self.request = request
    self.record = record?.path
    self.model = model
    self.checks = checks
    self.merged = merged
    self.restored = restored.sorted(by: NaturalOrder.precedes)
    self.dropped = dropped.sorted(by: NaturalOrder.precedes)
    self.copied = copied
    self.kept = kept.sorted(by: NaturalOrder.precedes)
    self.files = files
    self.droppedFiles = droppedFiles
  }
}
