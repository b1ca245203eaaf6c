import Testing

@testable import Kernels

@Suite struct NestedScalesTests {
  @Test func codesAreThoseOfBitsandbytes() throws {
    var compared = 0
    for item in try FourBitCase.all() {
      guard let codes = try item.bytesIfAny("codes") else { continue }
      let absmax = try item.floats("absmax")
      let scales = NestedScales(quantizing: absmax)
      #expect(bits([scales.offset]) == bits(try item.floats("offset")), "\(item)")
      #expect(scales.codes == codes, "\(item)")
      #expect(bits(scales.absmax) == bits(try item.floats("nested_absmax")), "\(item)")
      compared += 1
    }
    #expect(compared > 50)
  }

  @Test func restoredWeightsAreThoseOfBitsandbytes() throws {
    var compared = 0
    for item in try FourBitCase.all() {
      guard let decoded = try item.bytesIfAny("nested_decoded") else { continue }
      let scales = try NestedScales(
        codes: item.bytes("codes"), absmax: item.floats("nested_absmax"),
        offset: item.floats("offset")[0])
      let tensor = try FourBitTensor(
        format: item.format, elements: item.elements, packed: item.bytes("packed"),
        scales: .nested(scales))
      #expect(tensor.decoded(0..<item.elements, as: item.element) == decoded, "\(item)")
      compared += 1
    }
    #expect(compared > 30)
  }

  @Test func meansAreThoseOfTorchOnOneThread() throws {
    let counts = try QuantizationFixture.fourBit.bytes("sums.counts").withUnsafeBytes {
      $0.bindMemory(to: Int64.self).map(Int.init)
    }
    let means = try QuantizationFixture.fourBit.floats("sums.means")
    // Up to where all four levels of the cascade are in use.
    #expect(counts.last == 600_000)
    let squares = FourBitCase.ramp(600_000).map { $0 * $0 }
    for (count, mean) in zip(counts, means) {
      #expect(NestedScales.offset(of: Array(squares[..<count])).hex == mean.hex, "\(count)")
    }
    #expect(NestedScales.offset(of: []) == 0)
  }

  /// Constants of bitsandbytes for the generator's weights, as published in spec/nf4-checkpoint.md.
  @Test func goldenConstants() throws {
    func nested(_ count: Int, _ element: ElementType, _ size: Int) throws -> (
      FourBitTensor, NestedScales
    ) {
      let tensor = try FourBitTensor(
        quantizing: FourBitCase.ramp(count), as: element, format: FourBitFormat(blockSize: size))
      guard case .nested(let scales) = tensor.scales else {
        throw QuantizationError.blockSize(size)
      }
      return (tensor, scales)
    }
    let (g1, s1) = try nested(64, .f32, 64)
    let hex = "008ae1789d0cf0c65f5ffb5735b11e30639f0d33f8bba1fd6c3c9d626b8e5fc1"
    #expect(g1.packed.map { String(UInt16($0) + 256, radix: 16).dropFirst() }.joined() == hex)
    #expect(bits([s1.offset]) == ["0x3efcc368"] && bits(s1.absmax) == ["0x0"])
    let (_, s2) = try nested(65, .f32, 64)
    #expect(bits([s2.offset]) == ["0x3eadc99d"] && bits(s2.absmax) == ["0x3e1df396"])
    #expect(s2.codes == [255, 0])
    let (_, s3) = try nested(40000, .f32, 64)
    #expect(bits([s3.offset]) == ["0x3efc1bc2"])
    #expect(bits(s3.absmax) == ["0x3d384e00", "0x3d102b30", "0x3d637ad0"])
    #expect(s3.codes.prefix(8) == [165, 195, 193, 153, 0, 182, 195, 165])
    let (_, s4) = try nested(40000, .bf16, 64)
    #expect(bits([s4.offset]) == ["0x3efc1cac"])
    #expect(s4.codes.prefix(8) == [169, 195, 192, 105, 0, 184, 195, 169])
    let (_, s5) = try nested(40000, .f16, 128)
    #expect(bits([s5.offset]) == ["0x3efe0d4a"])
    #expect(bits(s5.absmax) == ["0x3c8ad4a0", "0x3caad4a0"])
    #expect(s5.codes.prefix(8) == [199, 194, 92, 198, 42, 198, 76, 193])
  }

  @Test func dynamicMap() {
    let map = NestedScales.defaultMap
    #expect(map.count == 256 && map == map.sorted() && Set(map).count == 256)
    let spots: [(Int, UInt32)] = [
      (0, 0xBF7E_3333), (63, 0xBDDB_3334), (126, 0xB513_A3B7), (127, 0), (128, 0x3513_A3B7),
      (131, 0x37B2_4206), (254, 0x3F7E_3333), (255, 0x3F80_0000),
    ]
    for (index, expected) in spots { #expect(map[index].bitPattern == expected, "\(index)") }
    // Around zero the steps of the table are wider than the map's.
    #expect(Set(124...130).isDisjoint(with: DynamicMap.signed.lookup.map(Int.init)))
    #expect(DynamicMap.signed.lookup == DynamicMap.signed.lookup.sorted())
  }

  /// Nearest in exact arithmetic, for scaled deviations on and beside every midpoint.
  @Test func nearestTakesTheNearestValueAndTiesTheEvenCode() throws {
    let map = NestedScales.defaultMap
    for (index, middle) in DynamicMap.signed.midpoints.enumerated() {
      // The largest deviation is 1, so that deviations are their own scaled values.
      let scales = [1, middle.nextDown, middle, middle.nextUp]
      let codes = NestedScales(quantizing: scales, rounding: .nearest, offset: 0).codes.map(
        Int.init)
      #expect(
        codes == [255, index, index % 2 == 0 ? index : index + 1, index + 1], "\(map[index])")
    }
  }

  @Test func blocksOfZeroDeviation() {
    for rounding in NestedRounding.allCases {
      let scales = NestedScales(
        quantizing: [Float](repeating: 0.25, count: 300), rounding: rounding)
      #expect(scales.codes == [UInt8](repeating: 0, count: 300))
      #expect(scales.absmax == [0, 0] && scales.offset == 0.25)
      var restored = [Float](repeating: 7, count: 300)
      restored.withUnsafeMutableBufferPointer { scales.restore(0..<300, into: $0) }
      #expect(restored.allSatisfy { $0 == 0.25 })
    }
  }

  @Test func partsOfAnotherSizeAreRefused() throws {
    #expect(throws: QuantizationError.size(part: .nestedScales, found: 1, expected: 2)) {
      try NestedScales(codes: [UInt8](repeating: 0, count: 257), absmax: [1], offset: 0)
    }
    #expect(throws: QuantizationError.mapValues(count: 3)) {
      try NestedScales(codes: [1], absmax: [1], offset: 0, map: [1, 2, 3])
    }
    let format = try FourBitFormat()
    #expect(throws: QuantizationError.size(part: .codes, found: 1, expected: 2)) {
      try FourBitTensor(format: format, elements: 3, packed: [1], scales: .plain([1]))
    }
    #expect(throws: QuantizationError.size(part: .scales, found: 2, expected: 1)) {
      try FourBitTensor(format: format, elements: 3, packed: [1, 2], scales: .plain([1, 2]))
    }
  }
}
