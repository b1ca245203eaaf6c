import Foundation
import Testing

@testable import Safetensors

@Suite struct FileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  // MARK: - Input

  @Test func whatIsNotAFileIsRefused() throws {
    #expect(throws: FileError(.open, path: folder("notafile"), errno: ENOENT)) {
      try InputFile(path: folder("notafile"))
    }
    #expect(throws: FileError(.open, path: folder.path, errno: EISDIR)) {
      try InputFile(path: folder.path)
    }
    #expect(mkfifo(folder("pipe"), 0o600) == 0)
    #expect(throws: FileError(.open, path: folder("pipe"), errno: ESPIPE)) {
      try InputFile(path: folder("pipe"))
    }
    #expect(throws: SafetensorsError.file(FileError(.open, path: folder("x"), errno: ENOENT))) {
      try SafetensorsFile(path: folder("x"))
    }
  }

  @Test func readsAnyRange() throws {
    let content = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let file = try InputFile(path: try folder.write(content, to: "f"))
    #expect(file.size == 1000)
    for (offset, count) in [(0, 1000), (0, 0), (1000, 0), (999, 1), (13, 500)] {
      #expect(try file.read(count: count, at: offset) == Array(content[offset..<offset + count]))
    }
    for (offset, count) in [(0, 1001), (1000, 1), (-1, 1), (5, -1), (.max, 1), (1, .max)] {
      #expect(throws: FileError(.read, path: file.path, errno: 0)) {
        try file.read(count: count, at: offset)
      }
    }
    #expect(throws: FileError(.read, path: file.path, errno: EFBIG)) {
      try file.readAll(limit: 999)
    }
  }

  @Test func aFileTruncatedWhileOpenIsAnError() throws {
    let path = try folder.write(zeros(1000), to: "f")
    let file = try InputFile(path: path)
    #expect(truncate(path, 500) == 0)
    #expect(try file.read(count: 500, at: 0).count == 500)
    let error = #expect(throws: FileError.self) { try file.read(count: 501, at: 0) }
    #expect(error?.isUnexpectedEnd == true)
  }

  // MARK: - Tensors

  @Test func readsTensorsAndParts() throws {
    let header = object("attn.0", entry("F32", "[1,2,3]", "[0,24]"))
    let path = try folder.write(
      SafetensorsTests.file(header, bytes([0, 1, 2, 3, 4, 5])), to: "f.safetensors")
    let opened = try SafetensorsFile(path: path)
    let tensor = try opened.header.tensor("attn.0")
    #expect(opened.absoluteRange(of: tensor) == 8 + header.utf8.count..<32 + header.utf8.count)
    #expect(try opened.read(tensor) == bytes([0, 1, 2, 3, 4, 5]))

    let row = try TensorSlice(of: tensor, [.all, .range(start: 0, stop: 1)])
    #expect(try opened.read(row, of: tensor) == bytes([0, 1, 2]))
    let column = try TensorSlice(of: tensor, [.all, .all, .range(start: 1, stop: 2)])
    #expect(try opened.read(column, of: tensor) == bytes([1, 4]))

    var buffer = zeros(8)
    try buffer.withUnsafeMutableBytes { try opened.read(4..<12, of: tensor, into: $0) }
    #expect(buffer == bytes([1, 2]))
    for range in [-4..<4, 20..<28, 0..<4] {
      #expect(
        throws: SafetensorsError.rangeOutOfBounds(tensor: "attn.0", range: range, byteCount: 24)
      ) {
        try buffer.withUnsafeMutableBytes { try opened.read(range, of: tensor, into: $0) }
      }
    }
  }

  @Test func aTensorThatIsCutOffIsAnError() throws {
    let path = try folder.write(
      SafetensorsTests.file(object("t", entry("U8", "[100]", "[0,100]")), zeros(100)), to: "f")
    let opened = try SafetensorsFile(path: path)
    #expect(truncate(path, 90) == 0)
    #expect(throws: SafetensorsError.file(FileError(.read, path: path, errno: 0))) {
      try opened.read(opened.header.tensors[0])
    }
  }

  @Test func aHeaderThatIsCutOffIsAnError() throws {
    let whole = SafetensorsTests.file(object("t", entry("U8", "[100]", "[0,100]")), zeros(100))
    let headerSize = Int(whole[0])
    let path = try folder.write(Array(whole[..<(8 + headerSize / 2)]), to: "f")
    #expect(
      throws: SafetensorsError.headerPastEnd(headerSize: headerSize, fileSize: 8 + headerSize / 2)
    ) {
      try SafetensorsFile(path: path)
    }
  }

  /// A header of 100 MB or more, as in a file with ten million entries, is refused by its length alone.
  @Test func aHugeHeaderIsRefusedUnread() throws {
    let path = try folder.write(SafetensorsTests.file([], length: 640_000_000), to: "f")
    #expect(truncate(path, 1 << 31) == 0)
    #expect(throws: SafetensorsError.headerTooLarge(headerSize: 640_000_000, limit: 100_000_000)) {
      try SafetensorsFile(path: path)
    }
  }

  @Test func manyThreadsReadOneFile() async throws {
    let layout = try SafetensorsLayout(tensors: (0..<16).map { ("t\($0)", .u8, [5000]) })
    let writer = try SafetensorsWriter(path: folder("f"), layout: layout)
    for i in 0..<16 { try writer.write([UInt8](repeating: UInt8(i), count: 5000), to: "t\(i)") }
    try writer.finish()
    let opened = try SafetensorsFile(path: folder("f"))
    await withTaskGroup(of: Bool.self) { group in
      for i in 0..<64 {
        group.addTask {
          guard let tensor = opened.header["t\(i % 16)"], let read = try? opened.read(tensor) else {
            return false
          }
          return read == [UInt8](repeating: UInt8(i % 16), count: 5000)
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }

  // MARK: - Paths

  @Test(arguments: [
    ("a", ".", "a"), ("a/b", "a", "b"), ("/a", "/", "a"), ("a/b/", "a", "b"), ("a//b", "a", "b"),
    ("./a", ".", "a"), ("/", "/", ""),
  ])
  func pathsComeApart(path: String, parent: String, name: String) {
    #expect(FileSystem.parent(of: path) == parent)
    #expect(FileSystem.name(of: path) == name)
  }
}
