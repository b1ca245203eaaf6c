/// The bytes of ``ByteAlphabet`` as UTF-8; what is not well-formed becomes U+FFFD. A token with other
/// scalars stands for its own text.
struct ByteLevelDecoder: Decoder {
  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    var bytes: [UInt8] = []
    for token in tokens {
      let letters = token.map(ByteAlphabet.byte(of:))
      if letters.contains(nil) {
        bytes.append(contentsOf: String(scalars: token).utf8)
      } else {
        bytes.append(contentsOf: letters.compactMap { $0 })
      }
    }
    return [Array(String(decoding: bytes, as: UTF8.self).unicodeScalars)]
  }
}

/// Runs of byte tokens, `<0xE2><0x82><0xAC>`, as UTF-8; each byte of a run that is not well-formed as
/// U+FFFD.
struct ByteFallbackDecoder: Decoder {
  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    var texts: [[Unicode.Scalar]] = []
    var bytes: [UInt8] = []
    func flush() {
      if let text = String(validating: bytes, as: UTF8.self) {
        if !bytes.isEmpty { texts.append(Array(text.unicodeScalars)) }
      } else {
        texts.append(contentsOf: bytes.map { _ in ["\u{FFFD}"] })
      }
      bytes = []
    }
    for token in tokens {
      if let byte = Self.byte(of: token) {
        bytes.append(byte)
      } else {
        flush()
        texts.append(token)
      }
    }
    flush()
    return texts
  }

  private static func byte(of token: [Unicode.Scalar]) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".unicodeScalars), token[5] == ">" else {
      return nil
    }
    return UInt8(String(scalars: token[3..<5]), radix: 16)
  }
}
