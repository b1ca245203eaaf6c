import Testing

@testable import Safetensors

@Suite struct DTypeTests {
  /// The table of the format: name and bits, in ascending rank.
  private static let table: [(String, Int)] = [
    ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8), ("F8_E5M2", 8),
    ("F8_E4M3", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("I16", 16),
    ("U16", 16), ("F16", 16), ("BF16", 16), ("I32", 32), ("U32", 32), ("F32", 32), ("C64", 64),
    ("F64", 64), ("I64", 64), ("U64", 64),
  ]

  @Test func isTheTable() {
    #expect(DType.allCases.map(\.rawValue) == Self.table.map(\.0))
    #expect(DType.allCases.map(\.bits) == Self.table.map(\.1))
    #expect(DType.allCases.map(\.rank) == Array(0..<22))
  }

  @Test func byteCounts() throws {
    #expect(try DType.f32.byteCount(of: []) == 4)
    #expect(try DType.bf16.byteCount(of: [3, 5]) == 30)
    #expect(try DType.f4.byteCount(of: [2, 3]) == 3)
    #expect(try DType.f6e2m3.byteCount(of: [4]) == 3)
    #expect(try DType.u8.byteCount(of: [0, .max, .max]) == 0)
    #expect(throws: DType.SizeError.misaligned) { try DType.f4.byteCount(of: [3]) }
    #expect(throws: DType.SizeError.misaligned) { try DType.f6e3m2.byteCount(of: [3]) }
    #expect(throws: DType.SizeError.overflow) { try DType.u8.byteCount(of: [.max, 3, 0]) }
    #expect(throws: DType.SizeError.overflow) { try DType.f32.byteCount(of: [1 << 59]) }
    #expect(throws: DType.SizeError.overflow) { try DType.u8.byteCount(of: [-1]) }
  }

  @Test func elementCountsFollowFromBytes() {
    for dtype in DType.allCases {
      for elements in stride(from: 0, through: 64, by: 4) {
        let bytes = elements * dtype.bits / 8
        let info = TensorInfo(name: "t", dtype: dtype, shape: [elements], offsets: 3..<3 + bytes)
        #expect(info.elementCount == elements, "\(dtype) \(elements)")
      }
    }
  }
}
