import CZlib
import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Checksum {
    private func zlib(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
      UInt32(
        CZlib.crc32(0, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), uInt(bytes.count)))
    }

    /// Every length over the blocks of 8, 64 and 256 bytes, at every alignment of a block of 16.
    @Test func equalsZlib() {
      var random = SplitMix64(seed: 8)
      let bytes = (0..<1116).map { _ in UInt8.random(in: 0...255, using: &random) }
      bytes.withUnsafeBytes { bytes in
        for count in 0...1100 {
          for offset in count % 7 == 0 ? Array(0..<16) : [count % 16] {
            let part = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
            let expected = zlib(part)
            KernelPaths.each { path in
              #expect(CRC32.of(part) == expected, "\(path): \(count) bytes at \(offset)")
            }
          }
        }
      }
    }

    @Test func goesOnAndCombines() {
      var random = SplitMix64(seed: 9)
      let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
      bytes.withUnsafeBytes { bytes in
        let whole = zlib(bytes)
        KernelPaths.each { path in
          for cut in [0, 1, 255, 256, 257, 2000, 4999, 5000] {
            let (head, tail) = (
              UnsafeRawBufferPointer(rebasing: bytes[..<cut]),
              UnsafeRawBufferPointer(rebasing: bytes[cut...])
            )
            var crc = CRC32()
            crc.update(head)
            crc.update(tail)
            #expect(crc.value == whole, "\(path): cut at \(cut)")
            #expect(
              CRC32.combine(CRC32.of(head), CRC32.of(tail), lengthOfB: tail.count) == whole)
          }
        }
      }
    }

    @Test func checkValue() {
      Array("123456789".utf8).withUnsafeBytes { #expect(CRC32.of($0) == 0xCBF4_3926) }
      #expect(CRC32().value == 0)
    }
  }
}
