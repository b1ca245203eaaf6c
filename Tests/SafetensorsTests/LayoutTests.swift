import Testing

@testable import Safetensors

@Suite struct LayoutTests {
  private typealias Tensors = [(name: String, dtype: DType, shape: [Int])]

  /// The text of the header and the number of spaces behind it.
  private func header(_ layout: SafetensorsLayout) -> (text: String, padding: Int) {
    let text = String(decoding: layout.leadingBytes[8...], as: UTF8.self)
    let unpadded = text.reversed().drop { $0 == " " }.count
    return (
      String(text.prefix(unpadded)), text.utf8.count - String(text.prefix(unpadded)).utf8.count
    )
  }

  private func stated(_ layout: SafetensorsLayout) -> Int {
    (0..<8).reduce(0) { $0 | Int(layout.leadingBytes[$1]) << (8 * $1) }
  }

  @Test(arguments: [
    // An exact fit; a scalar type of less than a byte; a padding of seven.
    (
      "attn.0", DType.f32, [1, 2, 3],
      #"{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}"#, 0, 96
    ),
    (
      "attn.0", DType.f4, [1, 2], #"{"attn.0":{"dtype":"F4","shape":[1,2],"data_offsets":[0,1]}}"#,
      4, 73
    ),
    (
      "attn0", DType.f32, [1, 1, 2, 3],
      #"{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}"#, 7, 104
    ),
    (
      "test", DType.i32, [2, 2], #"{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}"#,
      4, 88
    ),
    (
      "test", DType.bf16, [2, 2], #"{"test":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}"#,
      4, 80
    ),
    (
      "test", DType.c64, [2, 2], #"{"test":{"dtype":"C64","shape":[2,2],"data_offsets":[0,32]}}"#,
      4, 104
    ),
  ])
  func oneTensor(
    name: String, dtype: DType, shape: [Int], text: String, padding: Int, fileSize: Int
  ) throws {
    let layout = try SafetensorsLayout(tensors: [(name, dtype, shape)])
    #expect(header(layout).text == text)
    #expect(header(layout).padding == padding)
    #expect(layout.fileSize == fileSize)
    #expect(stated(layout) == layout.bodyStart - 8)
  }

  @Test func nothing() throws {
    let empty = try SafetensorsLayout(tensors: [])
    #expect(empty.leadingBytes == file("{}      "))
    let framework = try SafetensorsLayout(tensors: [], metadata: [("framework", "pt")])
    #expect(header(framework).text == #"{"__metadata__":{"framework":"pt"}}"#)
    #expect(stated(framework) == 40)
    let noKeys = try SafetensorsLayout(tensors: [], metadata: [])
    #expect(header(noKeys).text == #"{"__metadata__":{}}"#)
  }

  @Test func metadataComesFirst() throws {
    let layout = try SafetensorsLayout(
      tensors: [("test1", .i32, [2, 2])], metadata: [("framework", "pt")])
    #expect(
      header(layout).text
        == #"{"__metadata__":{"framework":"pt"},"test1":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}"#
    )
    #expect(header(layout).padding == 1)
    #expect(layout.bodyStart == 104)
  }

  @Test func metadataKeysAreSortedByBytes() throws {
    let layout = try SafetensorsLayout(
      tensors: [], metadata: [("\u{E9}", "4"), ("b", "3"), ("Z", "2"), ("", "1")])
    #expect(header(layout).text == #"{"__metadata__":{"":"1","Z":"2","b":"3","é":"4"}}"#)
    #expect(throws: SafetensorsError.duplicateMetadataKey("a")) {
      try SafetensorsLayout(tensors: [], metadata: [("a", "1"), ("b", "2"), ("a", "1")])
    }
  }

  @Test func widerTypesComeFirstInAnyOrderOfInsertion() throws {
    let tensors: Tensors = [("test1", .i32, [2, 2]), ("test2", .f16, [2, 2])]
    let layout = try SafetensorsLayout(tensors: tensors)
    #expect(try SafetensorsLayout(tensors: tensors.reversed()).leadingBytes == layout.leadingBytes)
    #expect(layout["test1"]?.offsets == 0..<16)
    #expect(layout["test2"]?.offsets == 16..<24)
    #expect(layout.bodyStart == 136)
    #expect(header(layout).padding == 6)
  }

  @Test func theOrderIsRankThenBytesOfTheName() throws {
    var tensors: Tensors = DType.allCases.map { ("t", $0, [8]) }.enumerated().map {
      ("\($0.offset)", $0.element.1, $0.element.2)
    }
    tensors += [("é", .f32, [1]), ("c", .f32, [1]), ("Z", .f32, [1]), ("A", .f32, [1])]
    let layout = try SafetensorsLayout(tensors: tensors)
    #expect(
      layout.tensors.filter { Int($0.name) != nil }.map(\.dtype) == DType.allCases.reversed())
    #expect(
      layout.tensors.filter { $0.dtype == .f32 }.map(\.name) == ["17", "A", "Z", "c", "é"])
    // Every tensor is aligned to its type.
    for tensor in layout.tensors where tensor.dtype.bits >= 8 {
      #expect(tensor.offsets.lowerBound % (tensor.dtype.bits / 8) == 0)
    }
  }

  @Test func namesAreEscapedAsTheReferenceDoes() throws {
    let name = "\"\\/\u{08}\u{0C}\n\r\t\u{00}\u{1F}\u{7F}é😀"
    let layout = try SafetensorsLayout(tensors: [(name, .u8, [0])])
    #expect(
      header(layout).text
        == "{\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7F}é😀\":"
        + #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)
    let read = try SafetensorsHeader.parse(file: layout.leadingBytes)
    #expect(read.tensors.map(\.name) == [name])
  }

  @Test func theBodyIsAlignedByTheHeadersPadding() throws {
    for alignment in [8, 16, 64, 4096] {
      for length in 0..<20 {
        let layout = try SafetensorsLayout(
          tensors: [(String(repeating: "n", count: length), .u8, [1])], dataAlignment: alignment)
        #expect(layout.bodyStart % alignment == 0)
        #expect(layout.bodyStart - 8 - header(layout).text.utf8.count < alignment)
        #expect(try SafetensorsHeader.parse(file: layout.leadingBytes + [0]).tensors.count == 1)
      }
    }
  }

  @Test func theGivenOrderIsKept() throws {
    let tensors: Tensors = [("b", .u8, [3]), ("a", .f32, [2]), ("c", .u64, [1])]
    let layout = try SafetensorsLayout(tensors: tensors, order: .given)
    #expect(layout.tensors.map(\.name) == ["b", "a", "c"])
    #expect(layout.tensors.map(\.offsets) == [0..<3, 3..<11, 11..<19])
  }

  @Test func refusesWhatTheReaderWould() {
    func fails(_ tensors: Tensors, _ error: SafetensorsError) {
      #expect(throws: error) { try SafetensorsLayout(tensors: tensors) }
    }
    fails([("__metadata__", .u8, [1])], .reservedName("__metadata__"))
    fails([("a", .u8, [1]), ("a", .f32, [1])], .duplicateTensor("a"))
    fails([("t", .f4, [1, 3])], .misaligned(tensor: "t", dtype: .f4, shape: [1, 3]))
    fails([("t", .u8, [.max, 4])], .sizeOverflow(tensor: "t", dtype: .u8, shape: [.max, 4]))
    // Each has a size, all together have not.
    let half: (String, DType, [Int]) = ("b", .u8, [1 << 60])
    fails(
      (0..<8).map { ("\($0)", half.1, half.2) },
      .sizeOverflow(tensor: "7", dtype: .u8, shape: [1 << 60]))
  }

  @Test func theHeadersLimitHoldsForWritingToo() throws {
    #expect(throws: SafetensorsError.headerTooLarge(headerSize: 100_000_032, limit: 100_000_000)) {
      try SafetensorsLayout(
        tensors: [], metadata: [("a", String(repeating: "a", count: 100_000_000))])
    }
    // Padding counts.
    let limit = zeros(100_000_000)
    #expect(try SafetensorsLayout.leadingBytes(limit, alignment: 8).count == 100_000_008)
    #expect(throws: SafetensorsError.headerTooLarge(headerSize: 100_003_832, limit: 100_000_000)) {
      try SafetensorsLayout.leadingBytes(limit, alignment: 4096)
    }
  }

  @Test(arguments: [(12, "GPT-2"), (6, "GPT-2 tiny")])
  func languageModel(layers: Int, name: String) throws {
    var tensors: Tensors = [
      ("wte", .f32, [50257, 768]), ("wpe", .f32, [1024, 768]), ("ln_f.weight", .f32, [768]),
      ("ln_f.bias", .f32, [768]),
    ]
    for i in 0..<layers {
      tensors += [
        ("h.\(i).ln_1.weight", .f32, [768]), ("h.\(i).ln_1.bias", .f32, [768]),
        ("h.\(i).attn.bias", .f32, [1, 1, 1024, 1024]),
        ("h.\(i).attn.c_attn.weight", .f32, [768, 2304]),
        ("h.\(i).attn.c_attn.bias", .f32, [2304]),
        ("h.\(i).attn.c_proj.weight", .f32, [768, 768]), ("h.\(i).attn.c_proj.bias", .f32, [768]),
        ("h.\(i).ln_2.weight", .f32, [768]), ("h.\(i).ln_2.bias", .f32, [768]),
        ("h.\(i).mlp.c_fc.weight", .f32, [768, 3072]), ("h.\(i).mlp.c_fc.bias", .f32, [3072]),
        ("h.\(i).mlp.c_proj.weight", .f32, [3072, 768]), ("h.\(i).mlp.c_proj.bias", .f32, [768]),
      ]
    }
    let layout = try SafetensorsLayout(tensors: tensors)
    let read = try SafetensorsHeader.parse(
      headerBytes: Array(layout.leadingBytes[8...]), fileSize: layout.fileSize)
    #expect(read.tensors == layout.tensors)
    #expect(read.tensors.count == 4 + 13 * layers)
    #expect(layout.bodySize == tensors.reduce(0) { $0 + 4 * $1.shape.reduce(1, *) })
  }
}
