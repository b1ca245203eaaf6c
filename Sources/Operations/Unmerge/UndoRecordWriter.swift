import Kernels
import Safetensors

/// Writes a record (spec/undo-record.md).
struct UndoRecordWriter {
  let manifest: UndoManifest
  /// All that comes before the tensors' bytes, of each of the base's weight files.
  let headers: [[UInt8]]
  /// The files of the manifest, deflated.
  let files: [[UInt8]]
  /// What was noted of each tensor of the manifest; nil for those that have no chunks.
  let notes: [TensorRecorder.Notes?]
  let store: ChunkStore

  /// Writes the record.
  ///
  /// - Returns: its bytes.
  func write(to path: String) throws -> Int {
    let noted = zip(manifest.tensors, notes).compactMap { tensor, notes in
      notes.map { (name: tensor.name, notes: $0) }
    }
    var tensors: [(name: String, dtype: DType, shape: [Int])] = []
    typealias Layout = UndoRecordLayout
    // Widest elements first: every tensor is aligned to its own.
    for (name, notes) in noted where !notes.factors.isEmpty {
      tensors.append((Layout.factors(name), .f32, [notes.factors.count]))
    }
    for (name, notes) in noted {
      tensors.append((Layout.lengths(name), .u32, [notes.chunks.count]))
    }
    for (shard, header) in zip(manifest.shards, headers) {
      tensors.append((Layout.header(shard.name), .u8, [header.count]))
    }
    for (file, bytes) in zip(manifest.files, files) {
      tensors.append((Layout.file(file.name), .u8, [bytes.count]))
    }
    for (name, notes) in noted {
      tensors.append((Layout.chunks(name), .u8, [notes.chunks.reduce(0) { $0 + $1.count }]))
    }
    tensors.append((Layout.checksum, .u8, [Layout.checksumSize]))
    let layout = try SafetensorsLayout(
      tensors: tensors,
      metadata: [
        (key: "format", value: "pt"), (key: Layout.Key.version, value: Layout.version),
        (key: Layout.Key.manifest, value: manifest.text),
      ], order: .given)

    var output = try SequentialFile(path: path)
    try output.append(layout.leadingBytes)
    for (_, notes) in noted {
      try output.append(notes.factors.flatMap { $0.bitPattern.littleEndianBytes })
    }
    for (_, notes) in noted {
      try output.append(
        notes.chunks.flatMap { UInt32(truncatingIfNeeded: $0.count).littleEndianBytes })
    }
    for header in headers { try output.append(header) }
    for file in files { try output.append(file) }
    for (_, notes) in noted {
      for chunk in notes.chunks { try output.append(try store.read(chunk)) }
    }
    try output.append(output.checksum.value.littleEndianBytes)
    try output.finish()
    return layout.fileSize
  }
}

extension UInt32 {
  var littleEndianBytes: [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: self >> (8 * UInt32($0))) }
  }
}

/// A file that is written from its beginning to its end.
private struct SequentialFile {
  private static let blockSize = 1 << 20

  private let file: OutputFile
  private var written = 0
  private var pending: [UInt8] = []
  /// The checksum of everything so far.
  private(set) var checksum = CRC32()

  init(path: String) throws(FileError) {
    file = try OutputFile(path: path)
    pending.reserveCapacity(Self.blockSize)
  }

  mutating func append(_ bytes: [UInt8]) throws(FileError) {
    bytes.withUnsafeBytes { checksum.update($0) }
    pending += bytes
    if pending.count >= Self.blockSize { try flush() }
  }

  private mutating func flush() throws(FileError) {
    try file.write(pending, at: written)
    written += pending.count
    pending.removeAll(keepingCapacity: true)
  }

  mutating func finish() throws(FileError) {
    try flush()
    try file.sync()
    try file.close()
  }
}
