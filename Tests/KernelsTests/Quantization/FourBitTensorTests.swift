import Testing

@testable import Kernels

@Suite struct FourBitTensorTests {
  @Test(arguments: [0, 1, 2, 31, 64, 65, 4097]) func sizes(count: Int) throws {
    var random = SplitMix64(seed: UInt64(count))
    let values = random.floats(count, 0.1)
    let format = try FourBitFormat()
    for rounding in [nil, NestedRounding.bnbCPU, .nearest] {
      let tensor = try FourBitTensor(
        quantizing: values, format: format, doubleQuantization: rounding)
      let decoded = ElementType.f32.widened(tensor.decoded(0..<count, as: .f32))
      // Half of the widest gap between two values, 0.152, and what the scale loses in 8 bits.
      for (value, back) in zip(values, decoded) { #expect(abs(value - back) < 0.1 * 0.17) }
    }
  }

  @Test func partsAreCutFromTheWhole() throws {
    var random = SplitMix64(seed: 11)
    let tensor = try FourBitTensor(
      quantizing: random.floats(20000, 1), format: FourBitFormat(blockSize: 32))
    let whole = tensor.decoded(0..<20000, as: .bf16)
    for _ in 0..<100 {
      let start = Int.random(in: 0...20000, using: &random)
      let end = Int.random(in: start...20000, using: &random)
      #expect(
        tensor.decoded(start..<end, as: .bf16) == Array(whole[(2 * start)..<(2 * end)]),
        "\(start)..<\(end)")
    }
  }

  @Test func aWeightThatIsNotFiniteIsRefused() throws {
    for element in ElementType.allCases {
      for (index, value) in [(0, Float.nan), (130, .infinity), (199, -.infinity)] {
        var values = [Float](repeating: 0.5, count: 200)
        values[index] = value
        #expect(throws: QuantizationError.notFinite(index: index)) {
          try FourBitTensor(quantizing: values, as: element, format: FourBitFormat())
        }
      }
    }
  }

  @Test func firstNonFinite() {
    var values = [Float](repeating: 3e38, count: 5000)
    for element in [ElementType.f32, .bf16] {
      let finite = element.rounded(values)
      #expect(finite.withUnsafeBytes { element.firstNonFinite(in: $0) } == nil)
    }
    // Beyond the largest f16.
    #expect(
      ElementType.f16.rounded(values).withUnsafeBytes { ElementType.f16.firstNonFinite(in: $0) }
        == 0)
    values[4321] = .nan
    values[4400] = .infinity
    for element in [ElementType.f32, .bf16] {
      let bytes = element.rounded(values)
      #expect(bytes.withUnsafeBytes { element.firstNonFinite(in: $0) } == 4321)
    }
    #expect([UInt8]().withUnsafeBytes { ElementType.f32.firstNonFinite(in: $0) } == nil)
  }

  /// However a tensor is cut into pieces, its stream is that of the whole.
  @Test func streams() throws {
    var random = SplitMix64(seed: 12)
    for round in 0..<40 {
      let element = ElementType.allCases[round % 3]
      let format = try FourBitFormat(blockSize: [32, 64, 512][round / 3 % 3])
      let count = Int.random(in: 0...2000, using: &random)
      let bytes = element.rounded(random.floats(count, 0.2))
      let whole = format.encoded(bytes, as: element)
      var stream = FourBitStream(format: format, element: element, expectedElements: count)
      var packed: [UInt8] = []
      var start = 0
      while start < count {
        let end = min(count, start + Int.random(in: 0...700, using: &random))
        Array(bytes[(start * element.size)..<(end * element.size)]).withUnsafeBytes {
          stream.append($0, packed: &packed)
        }
        start = end
        #expect(stream.elements == end)
      }
      let absmax = stream.finish(packed: &packed)
      #expect(packed == whole.packed && absmax == whole.absmax, "\(round)")
    }
  }
}
