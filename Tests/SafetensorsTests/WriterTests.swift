import Foundation
import Testing

@testable import Safetensors

@Suite struct WriterTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func writesWhatTheReferenceWrites() throws {
    let layout = try SafetensorsLayout(tensors: [("attn.0", .f32, [1, 2, 3])])
    let writer = try SafetensorsWriter(path: folder("f"), layout: layout)
    try writer.write(bytes([0, 1, 2, 3, 4, 5]), to: "attn.0")
    try writer.finish()
    let expected = file(
      #"{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}"#,
      bytes([0, 1, 2, 3, 4, 5]))
    #expect(expected.count == 96)
    #expect(try folder.bytes(of: "f") == expected)
  }

  @Test func everyTypeSurvives() throws {
    let tensors = DType.allCases.map { (name: $0.rawValue, dtype: $0, shape: [2, 4]) }
    let layout = try SafetensorsLayout(
      tensors: tensors + [("scalar", .f32, []), ("none", .i8, [0])])
    let writer = try SafetensorsWriter(path: folder("f"), layout: layout)
    func content(_ tensor: TensorInfo) -> [UInt8] {
      (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: $0 + tensor.dtype.rank * 31) }
    }
    for tensor in layout.tensors { try writer.write(content(tensor), to: tensor.name) }
    try writer.finish()
    let opened = try SafetensorsFile(path: folder("f"))
    #expect(opened.header.tensors.count == 24)
    for tensor in layout.tensors {
      let read = try opened.header.tensor(tensor.name)
      #expect(read == tensor)
      #expect(try opened.read(read) == content(tensor))
    }
  }

  @Test func piecesArriveInAnyOrderFromAnyThread() async throws {
    let layout = try SafetensorsLayout(
      tensors: [("a", .u8, [1000]), ("b", .u16, [500])], dataAlignment: 4096)
    let writer = try SafetensorsWriter(path: folder("f"), layout: layout)
    var pieces = ["a", "b"].flatMap { name in
      stride(from: 0, to: 1000, by: 50).map { (name, $0) }
    }
    var random = SeededGenerator(seed: 5)
    pieces.shuffle(using: &random)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (name, offset) in pieces {
        group.addTask {
          let content = (offset..<offset + 50).map { UInt8(truncatingIfNeeded: $0) }
          try writer.write(content, to: name, at: offset)
        }
      }
      try await group.waitForAll()
    }
    try writer.finish()
    let opened = try SafetensorsFile(path: folder("f"))
    #expect(opened.header.bodyStart == 4096)
    for tensor in opened.header.tensors {
      #expect(try opened.read(tensor) == (0..<1000).map { UInt8(truncatingIfNeeded: $0) })
    }
  }

  @Test func everyByteIsWrittenOnce() throws {
    let layout = try SafetensorsLayout(tensors: [("a", .u16, [10]), ("b", .u8, [10])])
    let writer = try SafetensorsWriter(path: folder("f"), layout: layout)
    try writer.write(zeros(10), to: "a", at: 2)
    #expect(throws: SafetensorsError.writtenTwice(tensor: "a", range: 11..<13)) {
      try writer.write(zeros(2), to: "a", at: 11)
    }
    #expect(throws: SafetensorsError.rangeOutOfBounds(tensor: "a", range: 19..<21, byteCount: 20)) {
      try writer.write(zeros(2), to: "a", at: 19)
    }
    #expect(throws: SafetensorsError.tensorNotFound("c")) { try writer.write([], to: "c") }
    #expect(throws: SafetensorsError.notWritten(tensor: "a", range: 0..<2)) { try writer.finish() }
    try writer.write(zeros(2), to: "a")
    #expect(throws: SafetensorsError.notWritten(tensor: "a", range: 12..<20)) {
      try writer.finish()
    }
    try writer.write(zeros(8), to: "a", at: 12)
    #expect(throws: SafetensorsError.notWritten(tensor: "b", range: 0..<10)) {
      try writer.finish()
    }
    try writer.write(zeros(10), to: "b")
    try writer.finish()
  }

  /// The destination may be the file that the tensors are read from.
  @Test func aFileCanReplaceItself() throws {
    let layout = try SafetensorsLayout(tensors: [("w", .f32, [3])])
    func save(_ content: [UInt8]) throws {
      let output = try AtomicOutput(.file, at: folder("w.safetensors"), replacing: true)
      let writer = try SafetensorsWriter(path: output.temporaryPath, layout: layout)
      try writer.write(content, to: "w")
      try writer.finish()
      try output.commit()
    }
    try save(bytes([1, 2, 3]))
    let before = try SafetensorsFile(path: folder("w.safetensors"))
    try save(try before.read(before.header.tensors[0]))
    let after = try SafetensorsFile(path: folder("w.safetensors"))
    #expect(try after.read(after.header.tensors[0]) == bytes([1, 2, 3]))
    // The old file lives on as long as it is open.
    #expect(try before.read(before.header.tensors[0]) == bytes([1, 2, 3]))
    #expect(try folder.names() == ["w.safetensors"])
  }

  @Test func aDiskWithoutRoomIsAnErrorBeforeWriting() throws {
    // More than any file system holds in one file.
    let layout = try SafetensorsLayout(tensors: [("w", .u8, [1 << 60])])
    let error = #expect(throws: SafetensorsError.self) {
      try SafetensorsWriter(path: folder("f"), layout: layout)
    }
    guard case .file(let cause) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(cause.operation == .allocate)
  }
}
