import Testing

@testable import Safetensors

/// Random headers, always the same ones.
@Suite struct HeaderPropertyTests {
  private static func randomTensors(
    _ random: inout SeededGenerator
  ) -> [(name: String, dtype: DType, shape: [Int])] {
    let alphabet = Array("aZ0._é\u{301}漢😀\"\\/\u{0}\u{7F}\n")
    var tensors: [(name: String, dtype: DType, shape: [Int])] = []
    for i in 0..<Int.random(in: 0...7, using: &random) {
      let dtype = DType.allCases.randomElement(using: &random) ?? .f32
      let shape = (0..<Int.random(in: 0...7, using: &random)).map { _ in
        Int.random(in: 0...7, using: &random)
      }
      // What ends inside of a byte has no place in a file.
      guard (try? dtype.byteCount(of: shape)) != nil else { continue }
      let name = (0..<Int.random(in: 0...6, using: &random)).map { _ in
        alphabet.randomElement(using: &random) ?? "a"
      }
      tensors.append(("t.\(i)." + String(name), dtype, shape))
    }
    return tensors
  }

  @Test func whatIsLaidOutReadsBack() throws {
    for seed in 0..<300 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      let tensors = Self.randomTensors(&random)
      let metadata = (0..<Int.random(in: 0...4, using: &random)).map {
        (key: "key \($0)\"", value: "\u{1}é\($0)")
      }
      let alignment = [8, 64, 4096].randomElement(using: &random) ?? 8
      let order: SafetensorsLayout.Order = Bool.random(using: &random) ? .canonical : .given
      let layout = try SafetensorsLayout(
        tensors: tensors, metadata: seed % 3 == 0 ? nil : metadata, dataAlignment: alignment,
        order: order)
      let header = try SafetensorsHeader.parse(
        headerBytes: Array(layout.leadingBytes[8...]), fileSize: layout.fileSize)
      // Of the tensors at one offset the reader may put an empty one first.
      let read = Dictionary(uniqueKeysWithValues: header.tensors.map { ($0.name, $0) })
      #expect(read.count == layout.tensors.count, "seed \(seed)")
      for tensor in layout.tensors {
        #expect(read[tensor.name] == tensor, "seed \(seed)")
        #expect(tensor.elementCount == tensor.shape.reduce(1, *), "seed \(seed)")
      }
      #expect(
        header.metadata == (seed % 3 == 0 ? nil : Dictionary(uniqueKeysWithValues: metadata)),
        "seed \(seed)")

      let shuffled = try SafetensorsLayout(
        tensors: tensors.shuffled(using: &random), metadata: metadata.shuffled(using: &random))
      let sorted = try SafetensorsLayout(tensors: tensors, metadata: metadata)
      #expect(shuffled.leadingBytes == sorted.leadingBytes, "seed \(seed)")
    }
  }

  /// Damaged files give an error or a header whose tensors lie inside the file; nothing else.
  @Test func damageNeverCrashes() throws {
    let seeds = CorpusCase.all.map(\.bytes).filter {
      $0.count < 1000 && (try? SafetensorsHeader.parse(file: $0)) != nil
    }
    var random = SeededGenerator(seed: 1)
    var accepted = 0
    for round in 0..<20_000 {
      var bytes = seeds[round % seeds.count]
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        Self.damage(&bytes, &random)
      }
      guard let header = try? SafetensorsHeader.parse(file: bytes) else { continue }
      accepted += 1
      var end = header.bodyStart
      for tensor in header.tensors {
        #expect(header.bodyStart + tensor.offsets.lowerBound == end)
        end = header.bodyStart + tensor.offsets.upperBound
      }
      #expect(end == bytes.count)
    }
    // Some damage does not hurt: a letter of a name, a byte of the body.
    #expect(accepted > 100)
  }

  private static func damage(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
    let tokens = ["{", "}", "[", "]", "\"", ",", ":", "0", "-1", "1e9", "\\u", "null", "F4", " "]
    let position = Int.random(in: 0...bytes.count, using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0 where position < bytes.count: bytes[position] = .random(in: 0...255, using: &random)
    case 1 where position < bytes.count:
      bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 2 where position < bytes.count: bytes.remove(at: position)
    case 3: bytes.insert(.random(in: 0...255, using: &random), at: position)
    case 4: bytes.removeLast(min(bytes.count, Int.random(in: 0...20, using: &random)))
    default:
      bytes.insert(contentsOf: (tokens.randomElement(using: &random) ?? "{").utf8, at: position)
    }
    // With a length that fits, damage reaches the JSON.
    if Bool.random(using: &random), bytes.count >= 8 {
      let body = min(bytes.count - 8, [0, 1, 16].randomElement(using: &random) ?? 0)
      let length = UInt64(bytes.count - 8 - body)
      for i in 0..<8 { bytes[i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
    }
  }
}
