import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Conversion {
    private func bytes(_ patterns: some Sequence<UInt16>) -> [UInt8] {
      patterns.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    }

    private func patterns(_ bytes: [UInt8]) -> [UInt16] {
      (0..<bytes.count / 2).map { UInt16(bytes[2 * $0]) | UInt16(bytes[2 * $0 + 1]) << 8 }
    }

    @Test(arguments: [ElementType.f16, .bf16])
    func widensEveryPattern(_ element: ElementType) {
      let every = bytes(0...UInt16.max)
      let expected = (0...UInt32(UInt16.max)).map { element.twinWiden($0) }
      KernelPaths.each { path in
        let widened = element.widened(every)
        let wrong = zip(widened, expected).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }
        #expect(
          wrong == nil,
          "\(path) \(element): pattern \(wrong?.offset ?? 0), \(wrong?.element.0.hex ?? "")")
      }
    }

    @Test(arguments: [ElementType.f16, .bf16])
    func roundsEveryPatternToItself(_ element: ElementType) {
      let every = element.widened(bytes(0...UInt16.max))
      KernelPaths.each { path in
        let rounded = patterns(element.rounded(every))
        let wrong = rounded.indices.first {
          let quiet: UInt16 = every[$0].isNaN ? (element == .f16 ? 0x200 : 0x40) : 0
          return rounded[$0] != UInt16($0) | quiet
        }
        #expect(wrong == nil, "\(path) \(element): pattern \(wrong ?? 0)")
      }
    }

    /// Between two neighbours of a 16-bit type, f32 values on both sides of either and of the middle.
    @Test(arguments: [ElementType.f16, .bf16])
    func roundsAroundEveryMidpoint(_ element: ElementType) {
      var (values, expected): ([Float], [UInt16]) = ([], [])
      let infinity: UInt16 = element == .f16 ? 0x7C00 : 0x7F80
      for low in 0..<infinity {
        let high = low + 1
        let below = Float(element.twinValue(UInt32(low))!)
        // The grid goes on to where infinity is; bf16's next step is 2^128, which f32 has not.
        let middle: Float
        if high < infinity {
          middle = Float((Double(below) + element.twinValue(UInt32(high))!) / 2)
        } else {
          middle = element == .f16 ? 65520 : Float(bitPattern: 0x7F7F_8000)
        }
        let even = low % 2 == 0 ? low : high
        for (value, pattern) in [
          (below, low), (below.nextUp, low), (middle.nextDown, low), (middle, even),
          (middle.nextUp, high),
        ] {
          values += [value, -value]
          expected += [pattern, pattern | 0x8000]
        }
      }
      values += [.infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude]
      expected += [infinity, infinity | 0x8000, infinity, 0]
      KernelPaths.each { path in
        let rounded = patterns(element.rounded(values))
        let wrong = rounded.indices.first { rounded[$0] != expected[$0] }
        #expect(wrong == nil, "\(path) \(element): \(wrong.map { values[$0].hex } ?? "")")
      }
    }

    @Test(arguments: ElementType.allCases)
    func roundsAnyBits(_ element: ElementType) {
      var random = SplitMix64(seed: 1)
      let values =
        (0..<4000).map { _ in Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random)) }
        + (0..<4000).map { _ in random.float(70000) } + (0..<4000).map { _ in random.float(1e-6) }
        + (0..<200).map { Float(bitPattern: 0x7F80_0001 + $0) }
        + (0..<200).map { Float(bitPattern: 0xFFFF_FFFF - $0) }
      let expected = values.map { element.twinRound($0) }
      KernelPaths.each { path in
        let rounded = element.rounded(values)
        let found = values.indices.map { index in
          (0..<element.size).reduce(UInt32(0)) {
            $0 | UInt32(rounded[index * element.size + $1]) << UInt32(8 * $1)
          }
        }
        let wrong = found.indices.first { found[$0] != expected[$0] }
        #expect(wrong == nil, "\(path) \(element): \(wrong.map { values[$0].hex } ?? "")")
      }
    }

    /// Every length up to three vectors, at every alignment, with nothing written outside.
    @Test(arguments: ElementType.allCases)
    func takesAnyLengthAndAlignment(_ element: ElementType) {
      var random = SplitMix64(seed: 2)
      let values = random.floats(100, 2)
      let whole = element.rounded(values)
      let back = element.widened(whole)
      KernelPaths.each { path in
        for count in 0...97 {
          for offset in 0..<4 {
            var buffer = [UInt8](repeating: 0xA5, count: whole.count + 8)
            buffer.withUnsafeMutableBytes { buffer in
              let slice = UnsafeMutableRawBufferPointer(
                rebasing: buffer[offset..<offset + count * element.size])
              values.withUnsafeBufferPointer {
                element.round(from: UnsafeBufferPointer(rebasing: $0[..<count]), to: slice)
              }
            }
            let used = offset..<offset + count * element.size
            #expect(Array(buffer[used]) == Array(whole[..<(count * element.size)]))
            #expect(buffer[..<offset].allSatisfy { $0 == 0xA5 })
            #expect(buffer[used.upperBound...].allSatisfy { $0 == 0xA5 })
            var widened = [Float](repeating: 7, count: count + 1)
            buffer.withUnsafeBytes { buffer in
              widened.withUnsafeMutableBufferPointer {
                element.widen(
                  from: UnsafeRawBufferPointer(rebasing: buffer[used]),
                  to: UnsafeMutableBufferPointer(rebasing: $0[..<count]))
              }
            }
            #expect(widened == Array(back[..<count]) + [7], "\(path) \(element) \(count)")
          }
        }
      }
    }
  }
}
