import Testing

@testable import Kernels

@Suite struct Float8Tests {
  /// Values of the paper's table 1 and the ends of each range.
  @Test func landmarks() {
    let e4m3 = Float8.e4m3fn.values
    #expect(e4m3[0x7E] == 448 && e4m3[0xFE] == -448)
    #expect(e4m3[0x08] == 0x1p-6 && e4m3[0x07] == 0x1.Cp-7 && e4m3[0x01] == 0x1p-9)
    #expect(e4m3[0x38] == 1 && e4m3[0x78] == 256)
    #expect(e4m3[0x7F].bitPattern == 0x7FC0_0000 && e4m3[0xFF].bitPattern == 0xFFC0_0000)
    let e5m2 = Float8.e5m2.values
    #expect(e5m2[0x7B] == 57344 && e5m2[0x7C] == .infinity && e5m2[0xFC] == -.infinity)
    #expect(e5m2[0x04] == 0x1p-14 && e5m2[0x03] == 0x1.8p-15 && e5m2[0x01] == 0x1p-16)
    for values in [e4m3, e5m2] {
      #expect(values.count == 256)
      #expect(values[0].bitPattern == 0 && values[0x80].bitPattern == 0x8000_0000)
    }
  }

  /// An E5M2 byte is the upper byte of an f16.
  @Test func e5m2IsTruncatedF16() {
    for byte in 0...UInt8.max {
      let half = ElementType.f16.widened([0, byte])[0]
      let value = Float8.e5m2.values[Int(byte)]
      #expect(value.bitPattern == half.bitPattern, "\(byte): \(value.hex), \(half.hex)")
    }
  }

  /// Sign and magnitude: numbers grow with their bytes, and the fraction is 3 bits wide.
  @Test func e4m3IsOrdered() {
    let values = Float8.e4m3fn.values
    for byte in 0..<0x7E {
      #expect(values[byte] < values[byte + 1])
      #expect(values[byte + 0x80] == -values[byte])
      #expect(values[byte].significandWidth <= 3)
    }
  }

  @Test func widensBytes() {
    var found = [Float](repeating: 0, count: 3)
    [UInt8(0x38), 0xB8, 0x00].withUnsafeBytes { bytes in
      found.withUnsafeMutableBufferPointer { Float8.e4m3fn.widen(from: bytes, to: $0) }
    }
    #expect(found == [1, -1, 0])
  }
}

@Suite struct Float64Tests {
  @Test func roundsToNearestEven() {
    let one = Double(Float(1).nextUp)
    let values: [Double] = [
      1, (1 + one) / 2, ((1 + one) / 2).nextUp, 1e300, -1e300, 0x1p-149, 0x1p-150, -0.0, .infinity,
    ]
    let expected: [Float] = [
      1, 1, Float(1).nextUp, .infinity, -.infinity, 0x1p-149, 0, -0.0, .infinity,
    ]
    var found = [Float](repeating: 0, count: values.count)
    // One byte off any alignment.
    let bytes =
      [UInt8(0)]
      + values.flatMap { value in
        (0..<8).map { UInt8(value.bitPattern >> UInt64(8 * $0) & 0xFF) }
      }
    bytes.withUnsafeBytes { bytes in
      found.withUnsafeMutableBufferPointer {
        Float64.round(from: UnsafeRawBufferPointer(rebasing: bytes[1...]), to: $0)
      }
    }
    #expect(found.map(\.bitPattern) == expected.map(\.bitPattern))
  }

  @Test func widensBack() {
    let values: [Float] = [1, -0.0, 0x1p-149, .infinity, 3.1415927]
    var bytes = [UInt8](repeating: 0, count: 40)
    var found = [Float](repeating: 0, count: 5)
    bytes.withUnsafeMutableBytes { bytes in
      values.withUnsafeBufferPointer { Float64.widen(from: $0, to: bytes) }
    }
    #expect(bytes[..<8] == [0, 0, 0, 0, 0, 0, 0xF0, 0x3F])
    bytes.withUnsafeBytes { bytes in
      found.withUnsafeMutableBufferPointer { Float64.round(from: bytes, to: $0) }
    }
    #expect(found.map(\.bitPattern) == values.map(\.bitPattern))
  }
}
