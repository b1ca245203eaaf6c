import CKernels
import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct FourBitCoding {
    @Test func codesAndScalesAreThoseOfBitsandbytes() throws {
      let cases = try FourBitCase.all()
      #expect(cases.count > 50)
      for item in cases {
        let packed = try item.bytes("packed")
        let absmax = try item.floats("absmax").map {
          $0.isNaN ? Float(bitPattern: 0x7FC0_0000) : $0
        }
        KernelPaths.each { path in
          let found = item.format.encoded(item.input, as: item.element)
          #expect(found.packed == packed, "\(item) \(path)")
          #expect(bits(found.absmax) == bits(absmax), "\(item) \(path)")
        }
      }
    }

    @Test func decodedElementsAreThoseOfBitsandbytes() throws {
      var compared = 0
      for item in try FourBitCase.all() {
        guard let decoded = try item.bytesIfAny("decoded") else { continue }
        let (packed, absmax) = try (item.bytes("packed"), item.floats("absmax"))
        KernelPaths.each { path in
          let found = item.format.decoded(
            0..<item.elements, packed: packed, absmax: absmax, as: item.element)
          #expect(found == decoded, "\(item) \(path)")
        }
        compared += 1
      }
      #expect(compared > 30)
    }

    /// Every bf16 and f16 between −1 and 1 as the scaled element.
    @Test(arguments: [FourBitCode.nf4, .fp4]) func everyScaledHalf(code: FourBitCode) throws {
      let format = try FourBitFormat(code: code, blockSize: 4096)
      for (element, one) in [(ElementType.bf16, 0x3F80), (.f16, 0x3C00)] {
        var halves: [UInt16] = []
        for magnitude in 0...one {
          if halves.count % 4096 == 0 { halves.append(UInt16(one)) }
          halves.append(UInt16(magnitude))
          if halves.count % 4096 == 0 { halves.append(UInt16(one)) }
          halves.append(UInt16(magnitude) | 0x8000)
        }
        while halves.count % 4096 != 0 { halves.append(UInt16(one)) }
        let bytes = halves.withUnsafeBytes(Array.init)
        let expected = format.twinEncode(element.widened(bytes))
        #expect(expected.absmax.allSatisfy { $0 == 1 })
        KernelPaths.each { path in
          let found = format.encoded(bytes, as: element)
          #expect(found.packed == expected.packed, "\(element) \(path)")
          #expect(found.absmax == expected.absmax, "\(element) \(path)")
        }
      }
    }

    /// Each threshold, and the floats next to it.
    @Test(arguments: [FourBitCode.nf4, .fp4]) func thresholdsInF32(code: FourBitCode) throws {
      let format = try FourBitFormat(code: code, blockSize: 64)
      let near = code.thresholds.flatMap { [$0.nextDown, $0, $0.nextUp] }
      let values = [Float](repeating: 1, count: 64 - near.count) + near
      let expected = format.twinEncode(values)
      KernelPaths.each { path in
        #expect(
          format.encoded(ElementType.f32.rounded(values), as: .f32).packed == expected.packed,
          "\(path)")
      }
    }

    /// A full block multiplies by the reciprocal of its scale, a short one divides by the scale: elements
    /// for which these fall on different sides of a threshold.
    @Test(arguments: [64, 63]) func scaling(count: Int) throws {
      let format = try FourBitFormat()
      var random = SplitMix64(seed: 3)
      var telling = 0
      for _ in 0..<50 {
        let scale = Float.random(in: 0.01..<1, using: &random)
        var values = format.code.thresholds.flatMap { threshold in
          [threshold * scale, (threshold * scale).nextUp, (threshold * scale).nextDown]
        }
        values += [Float](repeating: scale, count: count - values.count)
        telling += values.count { value in
          format.code.thresholds.contains { value / scale <= $0 && value * (1 / scale) > $0 }
        }
        let expected = format.twinEncode(values)
        KernelPaths.each { path in
          let found = format.encoded(ElementType.f32.rounded(values), as: .f32)
          #expect(found.packed == expected.packed && found.absmax == expected.absmax, "\(path)")
        }
      }
      #expect(telling > 20)
    }

    /// Any bits at all: subnormals, infinities, NaNs with payloads.
    @Test func anyBits() throws {
      var random = SplitMix64(seed: 4)
      for round in 0..<60 {
        let element = ElementType.allCases[round % 3]
        let format = try FourBitFormat(
          code: round % 2 == 0 ? .nf4 : .fp4,
          blockSize: [32, 64, 128].randomElement(using: &random)!)
        let count = Int.random(in: 0..<400, using: &random)
        let bytes = (0..<count * element.size).map { _ in UInt8.random(in: 0...255, using: &random)
        }
        let expected = format.twinEncode(element.widened(bytes))
        let start = Int.random(in: 0...count, using: &random)
        let range = start..<Int.random(in: start...count, using: &random)
        let out = ElementType.allCases[round / 3 % 3]
        let decoded = out.rounded(
          format.twinDecode(range, packed: expected.packed, absmax: expected.absmax))
        KernelPaths.each { path in
          let found = format.encoded(bytes, as: element)
          #expect(found.packed == expected.packed, "round \(round) \(path)")
          #expect(
            bits(found.absmax)
              == bits(expected.absmax.map { $0.isNaN ? Float(bitPattern: 0x7FC0_0000) : $0 }),
            "round \(round) \(path)")
          #expect(
            format.decoded(range, packed: found.packed, absmax: found.absmax, as: out) == decoded,
            "round \(round) \(path) \(range)")
        }
      }
    }

    @Test func everyRangeOfABlockAndAHalf() throws {
      let format = try FourBitFormat(blockSize: 32)
      var random = SplitMix64(seed: 5)
      let (packed, absmax) = format.twinEncode(random.floats(51, 1))
      let whole = format.twinDecode(0..<51, packed: packed, absmax: absmax)
      KernelPaths.each { path in
        for element in ElementType.allCases {
          for start in 0...51 {
            for end in start...51 {
              let found = format.decoded(start..<end, packed: packed, absmax: absmax, as: element)
              #expect(
                found == element.rounded(Array(whole[start..<end])), "\(start)..<\(end) \(path)")
            }
          }
        }
      }
    }

    @Test func rangesMayBeDividedAnywhereBetweenBlocks() throws {
      let format = try FourBitFormat(code: .fp4, blockSize: 32)
      var random = SplitMix64(seed: 6)
      let bytes = ElementType.f16.rounded(random.floats(333, 0.1))
      let whole = format.encoded(bytes, as: .f16)
      for cut in stride(from: 0, to: 333, by: 32) {
        let (a, b) = (
          format.encoded(Array(bytes[..<(cut * 2)]), as: .f16),
          format.encoded(Array(bytes[(cut * 2)...]), as: .f16)
        )
        #expect(a.packed + b.packed == whole.packed && a.absmax + b.absmax == whole.absmax)
      }
    }
  }
}

@Suite struct FourBitFormats {
  @Test func onlyTheBlockSizesOfBitsandbytes() throws {
    for size in [0, 1, 16, 48, 65, 8192, -64] {
      #expect(throws: QuantizationError.blockSize(size)) { try FourBitFormat(blockSize: size) }
    }
    #expect(throws: QuantizationError.self) { try FourBitCode(values: [1, 2]) }
  }

  @Test func bitsPerParameter() throws {
    let expected: [(Int, Double, Double)] = [
      (32, 5, 4.25390625), (64, 4.5, 4.126953125), (128, 4.25, 4.0634765625),
    ]
    for (size, plain, nested) in expected {
      let format = try FourBitFormat(blockSize: size)
      #expect(format.bitsPerParameter(doubleQuantized: false) == plain)
      #expect(format.bitsPerParameter(doubleQuantized: true) == nested)
    }
  }

  @Test func storedBytes() throws {
    let format = try FourBitFormat()
    #expect(format.storedBytes(elements: 4096 * 4096, doubleQuantized: true) == 8_654_848)
    #expect(format.storedBytes(elements: 4096 * 4096, doubleQuantized: false) == 9_437_184)
    #expect(format.storedBytes(elements: 65, doubleQuantized: true) == 33 + 2 + 4)
    #expect(format.storedBytes(elements: 0, doubleQuantized: true) == 0)
  }

  @Test func valuesFollowTheirDefinition() {
    let positive: [Float] = [0, 0.0625, 8, 12, 4, 6, 2, 3].map { $0 / 12 }
    #expect(FourBitCode.fp4.values == positive + positive.map { $0 == 0 ? 0 : -$0 })
    #expect(FourBitCode.nf4.values == FourBitCode.nf4.values.sorted())
    #expect(FourBitCode.nf4.thresholds[0].hex == "0xbf591cd8")
    #expect(FourBitCode.nf4.thresholds[14].hex == "0x3f5c89da")
  }
}
