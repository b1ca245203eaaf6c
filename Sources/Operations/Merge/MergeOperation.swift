import Adapters
import Kernels
import Safetensors

/// Carries out a merge plan: the output appears whole, or not at all.
public struct MergeOperation: Sendable {
  public let plan: MergePlan

  /// A tensor that keeps less of its change than this is worth a warning.
  public static let lowRetention = 0.9
  /// A quantized tensor that keeps less than this has lost its change.
  public static let lostRetention = 0.5

  public init(_ plan: MergePlan) {
    self.plan = plan
  }

  public func run(progress: ProgressReport? = nil) throws -> MergeReport {
    let request = plan.request
    progress?.expect(plan.bytes)
    let output = try ModelOutput(
      at: request.output, files: plan.model.plan.shards.count, replacing: request.replacing)
    plan.undo?.store.useFile(FileSystem.join(output.folder, "undo.partial"))
    let checksums = try OutputExecutor(
      plan: plan.model.plan, folder: output.folder, threads: request.threads, progress: progress
    ).run()

    let reports = plan.merged.compactMap(\.report)
    let changes = self.changes(reports)
    guard changes.contains(where: { $0.changed > 0 }) || !plan.added.isEmpty else {
      throw MergeError.changesNothing(adapters: request.adapters.map(\.path))
    }
    var warnings = plan.warnings
    try check(changes, &warnings)
    try checkBase(checksums, reports, &warnings)
    if output.isFolder { try writeCompanions(to: output.folder) }
    let written = entries(checksums)
    let undo = try UndoRecording(
      plan, written: written, tokenizerFiles: tokenizerFiles.map(\.name)
    )?.write(to: FileSystem.join(output.folder, UndoRecordLayout.fileName))
    try output.commit(plan.model.plan.shards[0].name)
    return MergeReport(
      output: request.output, changes: changes, added: plan.added, copied: plan.copied,
      unused: plan.bindings.flatMap(\.unused), warnings: warnings, bytesWritten: plan.bytes,
      fingerprint: Fingerprint(written),
      undo: undo.map {
        MergeReport.Undo(
          path: FileSystem.join(request.output, UndoRecordLayout.fileName), bytes: $0)
      })
  }

  /// The tensors written, for the fingerprint.
  private func entries(_ checksums: [[UInt32]]) -> [Fingerprint.Entry] {
    zip(plan.model.plan.shards, checksums).flatMap { shard, checksums in
      zip(shard.layout.tensors, checksums).map { tensor, crc in
        Fingerprint.Entry(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.byteCount,
          crc: crc)
      }
    }
  }

  private func changes(_ reports: [MergedTensorReport]) -> [MergeReport.Change] {
    let elements = Dictionary(
      plan.merged.map { ($0.name, $0.shape.rows * $0.shape.columns) },
      uniquingKeysWith: { first, _ in first })
    let quantized = Dictionary(
      plan.layers.map { ($0.name, $0.losses.kept.retention) },
      uniquingKeysWith: { first, _ in first })
    return reports.sorted { NaturalOrder.precedes($0.tensor, $1.tensor) }.map { report in
      let statistics = report.statistics
      return MergeReport.Change(
        tensor: report.tensor, deltaNorm: statistics.deltaSquared.squareRoot(),
        weightNorm: statistics.weightSquared.squareRoot(),
        retention: quantized[report.tensor] ?? statistics.retention,
        changed: statistics.changed, overflowed: statistics.overflowed,
        elements: elements[report.tensor] ?? 0)
    }
  }

  private func check(
    _ changes: [MergeReport.Change], _ warnings: inout [MergeWarning]
  ) throws {
    let quantized = Set(plan.layers.map(\.name))
    for change in changes {
      if change.overflowed > 0 {
        warnings.append(.overflow(tensor: change.tensor, elements: change.overflowed))
      }
      guard let retention = change.retention else { continue }
      if let minimum = plan.request.minimumRetention, retention < minimum {
        throw MergeError.retention(
          tensor: change.tensor, retention: retention, minimum: minimum)
      }
      if retention < Self.lostRetention, quantized.contains(change.tensor) {
        warnings.append(.lostInQuantization(tensor: change.tensor, retention: retention))
      } else if retention < Self.lowRetention {
        warnings.append(.lowRetention(tensor: change.tensor, retention: retention))
      }
    }
  }

  // MARK: - The base's fingerprint

  /// Compares the base with what the adapters' containers say of it.
  private func checkBase(
    _ checksums: [[UInt32]], _ reports: [MergedTensorReport], _ warnings: inout [MergeWarning]
  ) throws {
    let stated = zip(plan.request.adapters, plan.bindings).compactMap { adapter, binding in
      binding.contents.file.container?.base.map { (adapter.path, $0) }
    }
    guard !stated.isEmpty else { return }
    var found = try baseFingerprint(checksums, reports)
    if plan.request.baseWeights != nil, stated.contains(where: { $0.1 != found }) {
      // The adapter may name the quantized model that it was trained on.
      found = try Fingerprint(of: Checkpoint(path: plan.request.base))
    }
    for (adapter, fingerprint) in stated where fingerprint != found {
      guard plan.request.allowsOtherBase else {
        throw MergeError.otherBase(adapter: adapter, stated: fingerprint, found: found)
      }
      warnings.append(.otherBase(adapter: adapter, stated: fingerprint, found: found))
    }
  }

  /// The base's fingerprint from the checksums that the merge has taken on its way; only tensors that
  /// it did not read as they are stored are read again.
  private func baseFingerprint(
    _ checksums: [[UInt32]], _ reports: [MergedTensorReport]
  ) throws -> Fingerprint {
    var known: [String: UInt32] = [:]
    for (shard, checksums) in zip(plan.model.plan.shards, checksums) {
      for (index, tensor) in shard.layout.tensors.enumerated()
      where shard.sources[index].copied != nil {
        known[tensor.name] = checksums[index]
      }
    }
    for report in reports {
      if let checksum = report.baseChecksum { known[report.tensor] = checksum }
    }
    let checkpoint = plan.base.checkpoint
    return Fingerprint(
      try checkpoint.tensors.map { tensor in
        let crc = try known[tensor.name] ?? Self.checksum(of: tensor, in: checkpoint)
        return Fingerprint.Entry(
          name: tensor.name, dtype: tensor.info.dtype, shape: tensor.info.shape,
          bytes: tensor.info.byteCount, crc: crc)
      })
  }

  private static func checksum(
    of tensor: Checkpoint.Tensor, in checkpoint: Checkpoint
  ) throws -> UInt32 {
    let file = checkpoint.file(of: tensor)
    let range = file.absoluteRange(of: tensor.info)
    return try CRC32.of(file.file, range: range)
  }

  // MARK: - The other files of the folder

  private func writeCompanions(to folder: String) throws {
    if let index = plan.model.index {
      try ModelFolder.write(index.text, to: FileSystem.join(folder, index.name))
    }
    var written: Set<String> = []
    if let config = plan.config, !config.edits.isEmpty {
      try ModelFolder.write(config.text, to: FileSystem.join(folder, "config.json"))
      written.insert("config.json")
    }
    for file in tokenizerFiles {
      try ModelFolder.copyFile(from: file.path, to: FileSystem.join(folder, file.name))
      written.insert(file.name)
    }
    if FileSystem.isFolder(plan.request.weights) {
      try ModelFolder.copyCompanions(from: plan.request.weights, to: folder, except: written)
    }
  }

  /// The tokenizer that an adapter which resized the vocabulary brings with it.
  private var tokenizerFiles: [(name: String, path: String)] {
    guard plan.resizesVocabulary else { return [] }
    var files: [(name: String, path: String)] = []
    for adapter in plan.request.adapters where FileSystem.isFolder(adapter.path) {
      for name in ModelFolder.tokenizerFiles(in: adapter.path)
      where !files.contains(where: { $0.name == name }) {
        files.append((name, FileSystem.join(adapter.path, name)))
      }
    }
    return files
  }
}
