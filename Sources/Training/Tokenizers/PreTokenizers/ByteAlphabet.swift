/// GPT-2's alphabet: a printable scalar for each byte. Printable Latin-1 stands for itself; the other
/// 68 bytes, in order, are U+0100 and on.
enum ByteAlphabet {
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (UInt8(0)...255).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? "\u{FFFD}"
      }
    }
  }()

  private static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: zip(scalars, UInt8(0)...255))

  /// Appends the letters of the scalar's UTF-8 bytes.
  static func append(_ scalar: Unicode.Scalar, to letters: inout [Unicode.Scalar]) {
    for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
      letters.append(scalars[Int(byte)])
    }
  }

  /// The byte that `letter` stands for.
  static func byte(of letter: Unicode.Scalar) -> UInt8? { bytes[letter] }
}
