import Testing

@testable import Safetensors

@Suite struct HeaderTests {
  private let one = object("test", entry())

  private func failure(_ bytes: [UInt8]) -> SafetensorsError? {
    do throws(SafetensorsError) {
      _ = try SafetensorsHeader.parse(file: bytes)
      return nil
    } catch { return error }
  }

  @Test func readsATensor() throws {
    #expect(one.utf8.count == 60)
    let header = try SafetensorsHeader.parse(file: file(one, zeros(16)))
    let expected = TensorInfo(name: "test", dtype: .i32, shape: [2, 2], offsets: 0..<16)
    #expect(header.tensors == [expected])
    #expect(header["test"] == expected)
    #expect(header["Test"] == nil)
    #expect(header.bodyStart == 68)
    #expect(header.metadata == nil)
    #expect(expected.byteCount == 16 && expected.elementCount == 4)
    #expect(throws: SafetensorsError.tensorNotFound("x")) { try header.tensor("x") }
  }

  @Test func readsAScalarAndAnEmptyTensor() throws {
    let scalar = try SafetensorsHeader.parse(
      file: file(object("test", entry("I32", "[]", "[0,4]")), zeros(4)))
    #expect(scalar.bodyStart == 8 + 56)
    #expect(scalar["test"]?.elementCount == 1)
    let empty = try SafetensorsHeader.parse(
      file: file(object("test", entry("I32", "[2,0]", "[0, 0]"))))
    #expect(empty["test"]?.byteCount == 0 && empty["test"]?.elementCount == 0)
  }

  @Test func readsMetadata() throws {
    let text =
      object(
        "__metadata__", #"{"framework":"pt"}"#, "test1", entry()) + String(repeating: " ", count: 7)
    let header = try SafetensorsHeader.parse(file: file(text, zeros(16)))
    #expect(text.utf8.count == 102)
    #expect(header.metadata == ["framework": "pt"])
    #expect(header.tensors.map(\.name) == ["test1"])
  }

  @Test func metadataKeepsItsOrderAndTheLastOfARepeatedKey() throws {
    let text = object("__metadata__", #"{"z":"1","a":"2","z":"3"}"#)
    let header = try SafetensorsHeader.parse(file: file(text))
    #expect(header.metadataEntries?.map(\.key) == ["z", "a"])
    #expect(header.metadataEntries?.map(\.value) == ["3", "2"])
  }

  @Test func tensorsStandInStorageOrder() throws {
    let text = object(
      "b", entry("U8", "[2]", "[2,4]"), "empty", entry("U8", "[0]", "[2,2]"), "a",
      entry("U8", "[2]", "[0,2]"))
    let header = try SafetensorsHeader.parse(file: file(text, zeros(4)))
    #expect(header.tensors.map(\.name) == ["a", "empty", "b"])
    #expect(header.position(of: "b") == 2)
  }

  /// Swift takes these for one string; the format, which compares bytes, for two.
  @Test func canonicallyEquivalentNamesAreTwoTensors() throws {
    let text = object(
      "e\u{301}", entry("U8", "[1]", "[0,1]"), "\u{E9}", entry("I8", "[1]", "[1,2]"))
    let header = try SafetensorsHeader.parse(file: file(text, zeros(2)))
    #expect(header["e\u{301}"]?.dtype == .u8)
    #expect(header["\u{E9}"]?.dtype == .i8)
  }

  // MARK: - Facts in errors

  @Test func framingErrorsSayWhat() {
    #expect(failure([]) == .headerTooSmall(fileSize: 0))
    #expect(failure(zeros(7)) == .headerTooSmall(fileSize: 7))
    let tooLarge = file(one, zeros(16), length: 0xFFFF_FFFF_0000_003C)
    #expect(
      failure(tooLarge)
        == .headerTooLarge(headerSize: 0xFFFF_FFFF_0000_003C, limit: 100_000_000))
    #expect(failure(file([], length: 60)) == .headerPastEnd(headerSize: 60, fileSize: 8))
    #expect(
      failure(file(one, zeros(16), length: 1000)) == .headerPastEnd(headerSize: 1000, fileSize: 84))
    #expect(failure(file([0x7B, 0xFF])) == .headerNotUTF8(offset: 1))
    #expect(failure(file("{")) == .headerNotJSON(JSONError(.unexpectedEnd, at: 1)))
    #expect(failure(file("[]")) == .headerNotObject)
  }

  @Test func coverageErrorsSayWhat() {
    let polyglot = Array("polyglot, with 34 bytes at the end.".utf8.prefix(34))
    #expect(
      failure(file(one, zeros(16) + polyglot)) == .incompleteCoverage(end: 84, fileSize: 84 + 34))
    #expect(failure(file(one, zeros(14))) == .incompleteCoverage(end: 84, fileSize: 82))
    let liar = object("liar", entry("F32", "[1024,1024]", "[0,4194304]"))
    let liarFile = file(liar, zeros(1))
    #expect(
      failure(liarFile)
        == .incompleteCoverage(
          end: UInt64(8 + liar.utf8.count + 4_194_304), fileSize: liarFile.count))
    let farEnd = object("t", entry("U8", "[18446744073709551615]", "[0,18446744073709551615]"))
    // The bits overflow first: 2^64 − 1 bytes are never covered.
    #expect(
      failure(file(farEnd)) == .sizeOverflow(tensor: "t", dtype: .u8, shape: [.max]))
  }

  @Test func tensorErrorsSayWhat() {
    #expect(
      failure(file(object("test", entry("I32", "[2,2]", "[0, 4]"))))
        == .sizeMismatch(tensor: "test", dtype: .i32, shape: [2, 2], bytes: 4, expected: 16))
    #expect(
      failure(file(object("test", entry("I32", "[2,2]", "[8,24]")), zeros(24)))
        == .invalidOffset(tensor: "test", begin: 8, end: 24, expectedBegin: 0))
    #expect(
      failure(file(object("test", entry("I32", "[2,2]", "[16,0]")), zeros(16)))
        == .invalidOffset(tensor: "test", begin: 16, end: 0, expectedBegin: 0))
    #expect(
      failure(file(object("t", entry("F4", "[1,3]", "[0,2]")), zeros(2)))
        == .misaligned(tensor: "t", dtype: .f4, shape: [1, 3]))
    #expect(
      failure(file(object("t", entry("I32", "[2,9223372036854775807]")), zeros(16)))
        == .sizeOverflow(tensor: "t", dtype: .i32, shape: [2, .max]))
    // A bad offset is found before a bad shape.
    #expect(
      failure(file(object("t", entry("I32", "[7]", "[1,2]")), zeros(16)))
        == .invalidOffset(tensor: "t", begin: 1, end: 2, expectedBegin: 0))
  }

  @Test func entryErrorsSayWhat() {
    func fault(_ entry: String) -> SafetensorsError? { failure(file(object("t", entry))) }
    #expect(fault("null") == .malformedEntry(tensor: "t", .notAnObject))
    #expect(fault(#"{"dtype":"U8"}"#) == .malformedEntry(tensor: "t", .missingField("shape")))
    #expect(fault(entry("i32")) == .malformedEntry(tensor: "t", .unknownDType("i32")))
    #expect(
      fault(entry("U8", "[1.0]")) == .malformedEntry(tensor: "t", .invalidField("shape")))
    #expect(
      fault(entry("U8", "[1]", "[0]"))
        == .malformedEntry(tensor: "t", .invalidField("data_offsets")))
    #expect(
      fault(entry("U8", "[1]", "[0,1]", #","dtype":"U8""#))
        == .malformedEntry(tensor: "t", .duplicateField("dtype")))
    #expect(failure(file(object("t", entry(), "t", entry()))) == .duplicateTensor("t"))
    #expect(
      failure(file(object("__metadata__", #"{"a":1}"#)))
        == .malformedMetadata(.valueNotAString(key: "a")))
    #expect(
      failure(file(object("__metadata__", "{}", "__metadata__", "{}")))
        == .malformedMetadata(.duplicate))
  }

  // MARK: - Attacks

  /// Many tensors that share one range: no one's memory is asked for.
  @Test func manyTensorsOverOneRange() {
    let text =
      "{"
      + (0..<5000).map { "\"weight_\($0)\":" + entry("F32", "[200,200]", "[0,160000]") }
      .joined(separator: ",") + "}"
    guard case .invalidOffset(_, 0, 160_000, 160_000) = failure(file(text, zeros(text.utf8.count)))
    else {
      Issue.record("an overlap must be an invalid offset")
      return
    }
  }

  /// The limit is checked before the file's length and before any memory is taken.
  @Test func limitOfTheHeader() throws {
    func size(_ stated: UInt64, in fileSize: Int) throws(SafetensorsError) -> Int {
      let prefix = (0..<8).map { UInt8(truncatingIfNeeded: stated >> (8 * $0)) }
      return try SafetensorsHeader.size(prefix: prefix, fileSize: fileSize)
    }
    #expect(try size(100_000_000, in: 100_000_008) == 100_000_000)
    #expect(throws: SafetensorsError.headerPastEnd(headerSize: 100_000_000, fileSize: 100_000_007))
    { try size(100_000_000, in: 100_000_007) }
    #expect(throws: SafetensorsError.headerTooLarge(headerSize: 100_000_001, limit: 100_000_000)) {
      try size(100_000_001, in: .max)
    }
  }
}
