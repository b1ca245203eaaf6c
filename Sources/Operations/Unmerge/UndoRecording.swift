import Adapters
import Kernels
import Safetensors
import Synchronization

/// Writes the record of a merge that has been carried out.
struct UndoRecording {
  private let plan: MergePlan
  private let undo: UndoPlan
  private let store: ChunkStore
  /// The tensors that were written.
  private let written: [Fingerprint.Entry]
  private let tokenizerFiles: [String]

  /// - Parameters:
  ///   - written: the tensors of the output.
  ///   - tokenizerFiles: files of the output's folder that adapters brought.
  /// - Returns: nil where no record was asked for.
  init?(_ plan: MergePlan, written: [Fingerprint.Entry], tokenizerFiles: [String]) {
    guard let (undo, store) = plan.undo else { return nil }
    self.plan = plan
    self.undo = undo
    self.store = store
    self.written = written
    self.tokenizerFiles = tokenizerFiles
  }

  /// Writes the record.
  ///
  /// - Returns: its bytes.
  func write(to path: String) throws -> Int {
    let checkpoint = plan.base.checkpoint
    let originals = try OriginalTensors(
      undo.tensors.compactMap { tensor, back in
        if case .original = back { tensor } else { nil }
      }, in: checkpoint, store: store, threads: plan.request.threads)
    let checksums = Dictionary(
      written.map { ($0.name, $0.crc) }, uniquingKeysWith: { first, _ in first })

    var tensors: [UndoManifest.Tensor] = []
    var notes: [TensorRecorder.Notes?] = []
    for (tensor, back) in undo.tensors {
      var entry = UndoManifest.Tensor(
        name: tensor.name, coding: .same, source: nil, checksum: 0, sourceChecksum: 0)
      switch back {
      case .same(let source):
        entry.source = source
        entry.checksum = checksums[source] ?? 0
        entry.sourceChecksum = entry.checksum
        notes.append(nil)
      case .recorded(let merged):
        guard let noted = merged.recorder?.notes, let checksum = merged.report?.baseChecksum else {
          throw UndoError.notReproducible(tensor: tensor.name)
        }
        entry.source = merged.name
        entry.coding = noted.coding
        entry.checksum = checksum
        entry.sourceChecksum = checksums[merged.name] ?? 0
        entry.chunkBytes = noted.chunkBytes
        notes.append(noted)
      case .original:
        guard let (noted, checksum) = originals.results[tensor.name] else {
          throw UndoError.notReproducible(tensor: tensor.name)
        }
        entry.coding = .original
        entry.checksum = checksum
        entry.chunkBytes = noted.chunkBytes
        notes.append(noted)
      }
      tensors.append(entry)
    }
    let sources = Set(tensors.compactMap(\.source))
    let kept = try keptFiles()
    let request = plan.request
    let manifest = UndoManifest(
      adapters: try zip(request.adapters, plan.bindings).map { weighted, binding in
        UndoManifest.Adapter(
          identity: try AdapterIdentity(binding.contents.file), weight: weighted.weight)
      },
      unties: request.unties, allowsUnused: request.allowsUnused,
      baseIsResidual: request.baseIsResidual,
      ignoredSettings: request.ignoredSettings.sorted(),
      base: Fingerprint(
        zip(undo.tensors, tensors).map { tensor, entry in
          let info = tensor.tensor.info
          return Fingerprint.Entry(
            name: info.name, dtype: info.dtype, shape: info.shape, bytes: info.byteCount,
            crc: entry.checksum)
        }),
      merged: Fingerprint(written),
      shards: zip(checkpoint.shardNames, checkpoint.shards).map {
        UndoManifest.File(name: $0, bytes: $1.file.size)
      },
      tensors: tensors,
      others: written.filter { !sources.contains($0.name) }.map { ($0.name, $0.crc) },
      files: kept.map { UndoManifest.File(name: $0.name, bytes: $0.contents.count) },
      dropped: tokenizerFiles.filter { name in !kept.contains { $0.name == name } })
    let size = try UndoRecordWriter(
      manifest: manifest,
      headers: try checkpoint.shards.map {
        try $0.file.read(count: $0.header.bodyStart, at: 0)
      },
      files: kept.map { $0.contents.withUnsafeBytes { Deflate.compress($0, .matches) } },
      notes: notes, store: store
    ).write(to: path)
    try store.clear()
    return size
  }

  /// The base's files that the output has in another form, or that its tensors cannot be matched without.
  private func keptFiles() throws -> [(name: String, contents: [UInt8])] {
    let folder = plan.base.checkpoint.folder
    let names =
      ["config.json"] + [plan.base.checkpoint.indexName].compactMap { $0 } + tokenizerFiles
    return try names.compactMap { name in
      let path = FileSystem.join(folder, name)
      guard FileSystem.isRegularFile(path) else { return nil }
      return (name, try InputFile(path: path).readAll())
    }
  }
}

/// Tensors of the base of which nothing is left in the output: their bytes go into the record.
private struct OriginalTensors {
  /// What was noted of each tensor, and its CRC-32.
  private(set) var results: [String: (TensorRecorder.Notes, UInt32)] = [:]

  init(
    _ tensors: [Checkpoint.Tensor], in checkpoint: Checkpoint, store: ChunkStore, threads: Int
  ) throws {
    /// A multiple of the size of every element.
    let chunkBytes = 2 * UndoCoding.chunkElements
    var pieces: [(tensor: Checkpoint.Tensor, range: Range<Int>)] = []
    for tensor in tensors {
      let size = tensor.info.byteCount
      for start in stride(from: 0, to: size, by: chunkBytes) {
        pieces.append((tensor, start..<min(start + chunkBytes, size)))
      }
    }
    let queue = pieces
    let next = Atomic<Int>(0)
    let done = Mutex<[(ChunkStore.Place, UInt32)?]>(Array(repeating: nil, count: queue.count))
    try Workers.run(count: max(1, min(threads, queue.count))) { _ in
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < queue.count else { return }
        let (tensor, range) = queue[index]
        let file = checkpoint.file(of: tensor)
        let start = file.absoluteRange(of: tensor.info).lowerBound + range.lowerBound
        let bytes = try file.file.read(count: range.count, at: start)
        let size = max(1, tensor.info.dtype.bits / 8)
        let code = bytes.withUnsafeBytes { PlaneCoding.encode($0, size: size) }
        let place = try code.withUnsafeBytes { try store.append($0) }
        let crc = bytes.withUnsafeBytes { CRC32.of($0) }
        done.withLock { $0[index] = (place, crc) }
      }
    }
    for tensor in tensors {
      results[tensor.name] = (
        TensorRecorder.Notes(coding: .original, chunkBytes: chunkBytes, chunks: []), 0
      )
    }
    for (piece, result) in zip(queue, done.withLock { $0 }) {
      guard let (place, crc) = result else { continue }
      results[piece.tensor.name]?.0.chunks.append(place)
      let before = results[piece.tensor.name]?.1 ?? 0
      results[piece.tensor.name]?.1 = CRC32.combine(before, crc, lengthOfB: piece.range.count)
    }
  }
}
