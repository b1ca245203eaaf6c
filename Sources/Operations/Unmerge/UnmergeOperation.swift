import Adapters
import Kernels
import Safetensors

/// Carries out an unmerge plan: the output appears whole and checked, or not at all.
public struct UnmergeOperation: Sendable {
  public let plan: UnmergePlan

  public init(_ plan: UnmergePlan) {
    self.plan = plan
  }

  public func run(progress: ProgressReport? = nil) throws -> UnmergeReport {
    let request = plan.request
    progress?.expect(plan.bytes)
    let shards = plan.model.plan.shards
    let output = try ModelOutput(
      at: request.output, files: shards.count, replacing: request.replacing)
    try checkOthers()
    let checksums = try OutputExecutor(
      plan: plan.model.plan, folder: output.folder, threads: request.threads, progress: progress
    ).run()
    try check(checksums)
    if output.isFolder { try writeCompanions(to: output.folder) }
    try output.commit(shards[0].name)
    let entries = zip(shards, checksums).flatMap { shard, checksums in
      zip(shard.layout.tensors, checksums).map { tensor, crc in
        Fingerprint.Entry(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.byteCount,
          crc: crc)
      }
    }
    return UnmergeReport(
      output: request.output, restored: plan.restored.count, dropped: plan.dropped.count,
      copied: plan.copied, kept: plan.kept, exact: plan.isExact, bytesWritten: plan.bytes,
      fingerprint: Fingerprint(entries))
  }

  // MARK: - Checks

  /// Compares the tensors of the merged model that nothing is made of with the record.
  private func checkOthers() throws {
    guard let record = plan.record else { return }
    for other in plan.checks.others {
      guard let tensor = plan.merged[other.name] else { continue }
      let file = plan.merged.file(of: tensor)
      let found = try CRC32.of(file.file, range: file.absoluteRange(of: tensor.info))
      guard found == other.checksum else {
        throw UndoError.otherModel(path: record, tensor: other.name)
      }
    }
  }

  /// Compares what was written, and what it was made from, with the record.
  private func check(_ checksums: [[UInt32]]) throws {
    guard let record = plan.record else { return }
    if let tensor = plan.checks.restored.first(where: { !$0.cameFromRecorded }) {
      throw UndoError.otherModel(path: record, tensor: tensor.name)
    }
    for (shard, checksums) in zip(plan.model.plan.shards, checksums) {
      for (index, tensor) in shard.layout.tensors.enumerated()
      where plan.checks.output[tensor.name] != checksums[index] {
        throw shard.sources[index].copied == nil
          ? UndoError.notRestored(tensor: tensor.name)
          : UndoError.otherModel(path: record, tensor: tensor.name)
      }
    }
  }

  // MARK: - The other files of the folder

  private func writeCompanions(to folder: String) throws {
    var written = Set(plan.droppedFiles)
    for file in plan.files {
      let target = try OutputFile(path: FileSystem.join(folder, file.name))
      try target.write(file.contents, at: 0)
      try target.close()
      written.insert(file.name)
    }
    if let index = plan.model.index {
      try ModelFolder.write(index.text, to: FileSystem.join(folder, index.name))
    }
    if FileSystem.isFolder(plan.request.merged) {
      try ModelFolder.copyCompanions(from: plan.request.merged, to: folder, except: written)
    }
  }
}
