import CKernels
import CZlib

/// The CRC-32 of IEEE 802.3, as in zlib, PNG and gzip: polynomial 0x04C11DB7, bits reflected.
///
/// For checksums of files, not against tampering.
public struct CRC32: Sendable, Equatable {
  /// The checksum of all bytes so far.
  public private(set) var value: UInt32 = 0

  public init() {}

  /// Takes in more bytes, of any alignment.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    value = ck_crc32(value, start, bytes.count)
  }

  /// The checksum of `bytes`.
  public static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var crc = CRC32()
    crc.update(bytes)
    return crc.value
  }

  /// The checksum of two pieces on end.
  ///
  /// - Parameters:
  ///   - a: checksum of the first piece.
  ///   - b: checksum of the second piece.
  ///   - lengthOfB: bytes of the second piece.
  public static func combine(_ a: UInt32, _ b: UInt32, lengthOfB: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: crc32_combine(uLong(a), uLong(b), lengthOfB))
  }
}
