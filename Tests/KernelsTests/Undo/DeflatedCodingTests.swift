import Testing

@testable import Kernels

@Suite struct DeflatedCodingTests {
  private static let elements = Array("An element is an element is an element.".utf8)

  @Test(arguments: [Deflate.Effort.runs, .matches])
  func deflate(_ effort: Deflate.Effort) {
    for bytes in [[], [7], Self.elements, [UInt8](repeating: 3, count: 70_000)] {
      let code = bytes.withUnsafeBytes { Deflate.compress($0, effort) }
      func back(_ code: [UInt8], _ count: Int) -> [UInt8]? {
        code.withUnsafeBytes { Deflate.decompress($0, count: count) }
      }
      #expect(back(code, bytes.count) == bytes)
      #expect(back(code, bytes.count + 1) == nil)
      #expect(bytes.isEmpty || back(code, bytes.count - 1) == nil)
      #expect(back(Array(code.dropLast()), bytes.count) == nil)
      #expect(back(code + [0], bytes.count) == nil)
    }
  }

  @Test(arguments: [1, 2, 4, 8])
  func planes(_ size: Int) {
    var random = SplitMix64(seed: UInt64(size))
    let stored = (0..<size * 100).map { _ in UInt8.random(in: 0...255, using: &random) }
    let code = stored.withUnsafeBytes { PlaneCoding.encode($0, size: size) }
    var back = [UInt8](repeating: 0, count: stored.count)
    func decode(_ code: [UInt8]) -> Bool {
      code.withUnsafeBytes { code in
        back.withUnsafeMutableBytes { PlaneCoding.decode(code, size: size, into: $0) }
      }
    }
    #expect(decode(code) && back == stored)
    #expect(!decode(Array(code.dropLast())))
  }

  /// Every pair of 16-bit elements that may stand beside each other comes back; near ones are small.
  @Test func differences() {
    var random = SplitMix64(seed: 2)
    for element in ElementType.allCases {
      let count = 4096 * element.size
      let stored = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      var merged = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      merged.replaceSubrange(0..<count / 2, with: stored[0..<count / 2])
      let code = encode(stored, merged, element)
      var back = [UInt8](repeating: 0, count: count)
      let isDone = code.withUnsafeBytes { code in
        merged.withUnsafeBytes { merged in
          back.withUnsafeMutableBytes {
            DifferenceCoding.decode(code, merged: merged, element: element, into: $0)
          }
        }
      }
      #expect(isDone && back == stored)
      #expect(code.count < count * 5 / 8, "equal halves cost nothing")
    }
    // -0 and +0 are neighbours, and so are the numbers around them.
    #expect(
      encode([0, 0x80, 1, 0], [0, 0, 0, 0x80], .bf16) == encode([1, 0, 3, 0], [2, 0, 1, 0], .bf16))
  }

  private func encode(_ stored: [UInt8], _ merged: [UInt8], _ element: ElementType) -> [UInt8] {
    stored.withUnsafeBytes { stored in
      merged.withUnsafeBytes {
        DifferenceCoding.encode(stored, merged: $0, element: element)
      }
    }
  }
}
