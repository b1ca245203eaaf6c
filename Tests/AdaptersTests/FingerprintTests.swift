import Safetensors
import Testing

@testable import Adapters

@Suite struct FingerprintTests {
  private let a = Fingerprint.Entry(name: "a", dtype: .bf16, shape: [2, 3], bytes: 12, crc: 0x1234)
  private let b = Fingerprint.Entry(name: "b", dtype: .f32, shape: [], bytes: 4, crc: 0xFFFF_FFFF)

  @Test func orderDoesNotMatter() {
    #expect(Fingerprint([a, b]) == Fingerprint([b, a]))
  }

  @Test func everythingElseMatters() {
    let whole = Fingerprint([a, b])
    let changed = [
      Fingerprint.Entry(name: "c", dtype: .bf16, shape: [2, 3], bytes: 12, crc: 0x1234),
      Fingerprint.Entry(name: "a", dtype: .f16, shape: [2, 3], bytes: 12, crc: 0x1234),
      Fingerprint.Entry(name: "a", dtype: .bf16, shape: [3, 2], bytes: 12, crc: 0x1234),
      Fingerprint.Entry(name: "a", dtype: .bf16, shape: [2, 3], bytes: 12, crc: 0x1235),
    ]
    for entry in changed { #expect(Fingerprint([entry, b]) != whole) }
    #expect(Fingerprint([a]) != whole)
  }

  /// The manifest's bytes are part of the format: this CRC-32 is zlib's of the two lines.
  @Test func text() {
    let fingerprint = Fingerprint([a, b])
    #expect(Fingerprint(fingerprint.description) == fingerprint)
    #expect(fingerprint.description == "crc32:f5d4bba3-2-16")
    for text in ["", "crc32:", "crc32:12-1-1", "crc32:0000000g-1-1", "md5:00000000-1-1"] {
      #expect(Fingerprint(text) == nil, "\(text)")
    }
  }
}
