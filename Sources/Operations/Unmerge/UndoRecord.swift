import Kernels
import Safetensors

/// A record that lies on disk (spec/undo-record.md). One that exists is whole: every byte has been
/// checked.
struct UndoRecord: Sendable {
  let file: SafetensorsFile
  let manifest: UndoManifest
  /// The base's weight files: their names, and all of them that comes before the tensors' bytes.
  let shards: [Shard]

  struct Shard: Sendable {
    let name: String
    let leadingBytes: [UInt8]
    let header: SafetensorsHeader
  }

  var path: String { file.path }

  /// Opens the record at `path` and checks it.
  init(path: String) throws {
    guard FileSystem.isRegularFile(path) else { throw UndoError.noRecord(path: path) }
    do {
      file = try SafetensorsFile(path: path)
    } catch SafetensorsError.file(let error) {
      throw error
    } catch {
      throw UndoError.damaged(path: path, reason: "its header cannot be read")
    }
    guard let version = file.header.metadata?[UndoRecordLayout.Key.version] else {
      throw UndoError.damaged(path: path, reason: "it is no undo record")
    }
    try Self.check(file)
    guard version == UndoRecordLayout.version else {
      throw UndoError.version(path: path, version: version)
    }
    do {
      manifest = try UndoManifest(
        file.header.metadata?[UndoRecordLayout.Key.manifest] ?? "")
    } catch let error as UndoManifest.Malformed {
      throw UndoError.damaged(path: path, reason: "its manifest has no sound \(error.key)")
    }
    let opened = file
    shards = try manifest.shards.map { try Self.shard($0, in: opened) }
    try checkTensors()
  }

  /// Compares the record with its own checksum.
  private static func check(_ file: SafetensorsFile) throws {
    guard let last = file.header.tensors.last, last.name == UndoRecordLayout.checksum,
      last.byteCount == UndoRecordLayout.checksumSize
    else { throw UndoError.damaged(path: file.path, reason: "it has no checksum at its end") }
    let stated = try file.read(last)
    let found = try CRC32.of(file.file, range: 0..<file.absoluteRange(of: last).lowerBound)
    guard found.littleEndianBytes == stated else {
      throw UndoError.damaged(
        path: file.path, reason: "its bytes do not have the checksum that it states")
    }
  }

  /// One of the base's weight files.
  private static func shard(_ shard: UndoManifest.File, in file: SafetensorsFile) throws -> Shard {
    do {
      let leading = try file.read(file.header.tensor(UndoRecordLayout.header(shard.name)))
      let prefix = SafetensorsHeader.prefixSize
      let size = try SafetensorsHeader.size(
        prefix: leading.prefix(prefix), fileSize: leading.count)
      guard prefix + size == leading.count else {
        throw SafetensorsError.headerPastEnd(headerSize: size, fileSize: leading.count)
      }
      let header = try SafetensorsHeader.parse(
        headerBytes: Array(leading[prefix...]), fileSize: shard.bytes)
      return Shard(name: shard.name, leadingBytes: leading, header: header)
    } catch SafetensorsError.file(let error) {
      throw error
    } catch {
      throw UndoError.damaged(
        path: file.path, reason: "the header of \(shard.name) in it cannot be read")
    }
  }

  /// Checks that the manifest speaks of the tensors of the base, all of them, and that there are as many
  /// chunks as it takes.
  private func checkTensors() throws {
    let known = Dictionary(
      manifest.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let infos = shards.flatMap(\.header.tensors)
    guard infos.count == manifest.tensors.count, infos.count == Set(infos.map(\.name)).count else {
      throw UndoError.damaged(path: path, reason: "its manifest and its headers disagree")
    }
    for info in infos {
      guard let tensor = known[info.name] else {
        throw UndoError.damaged(path: path, reason: "it does not say how \(info.name) comes back")
      }
      let chunks = (info.byteCount + max(1, tensor.chunkBytes) - 1) / max(1, tensor.chunkBytes)
      guard tensor.coding.hasChunks else { continue }
      guard file.header[UndoRecordLayout.lengths(info.name)]?.shape == [chunks],
        file.header[UndoRecordLayout.chunks(info.name)] != nil,
        tensor.coding == .original || ElementType(info.dtype) != nil
      else {
        throw UndoError.damaged(path: path, reason: "it has no sound chunks for \(info.name)")
      }
    }
  }

  // MARK: - Contents

  /// The bytes of one of the manifest's files.
  func contents(of name: String) throws -> [UInt8] {
    guard let entry = manifest.files.first(where: { $0.name == name }),
      let info = file.header[UndoRecordLayout.file(name)]
    else { throw UndoError.damaged(path: path, reason: "\(name) is not in it") }
    let code = try file.read(info)
    guard let bytes = code.withUnsafeBytes({ Deflate.decompress($0, count: entry.bytes) }) else {
      throw UndoError.damaged(path: path, reason: "\(name) in it cannot be decompressed")
    }
    return bytes
  }

  /// Q of the tensor `name`; nil where the record has none.
  func factors(of name: String) throws -> [Float]? {
    guard let info = file.header[UndoRecordLayout.factors(name)] else { return nil }
    return ElementType.f32.widened(try file.read(info))
  }

  /// Where the chunks of the tensor `name` are in the record.
  func chunks(of name: String) throws -> [Range<Int>] {
    let info = try file.header.tensor(UndoRecordLayout.chunks(name))
    let lengths = try file.read(file.header.tensor(UndoRecordLayout.lengths(name)))
    var start = file.absoluteRange(of: info).lowerBound
    let end = file.absoluteRange(of: info).upperBound
    var chunks: [Range<Int>] = []
    for at in stride(from: 0, to: lengths.count, by: 4) {
      let length = lengths[at..<at + 4].reversed().reduce(0) { $0 << 8 | Int($1) }
      guard length <= end - start else {
        throw UndoError.damaged(path: path, reason: "the chunks of \(name) in it are too long")
      }
      chunks.append(start..<start + length)
      start += length
    }
    return chunks
  }
}
