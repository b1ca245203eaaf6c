import Foundation

/// SentencePiece's compiled rules (`precompiled_charsmap`): a double-array trie (Darts) from UTF-8
/// sequences to replacements.
///
/// Layout: the trie's size in bytes (UInt32, little-endian), its units (UInt32 each), then the
/// replacements, each ended by a zero byte. As in the `tokenizers` library a grapheme cluster of
/// fewer than six bytes is looked up whole, and the shortest rule that is a prefix of it replaces all
/// of it; otherwise each of its scalars is looked up.
struct PrecompiledNormalizer: Normalizer {
  private let units: [UInt32]
  private let replacements: [UInt8]

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    let encoded = try settings.string("precompiled_charsmap")
    guard let data = Data(base64Encoded: encoded) else {
      throw settings.invalid("precompiled_charsmap")
    }
    let bytes = [UInt8](data)
    func word(at offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }
    guard bytes.count >= 4 else { throw settings.invalid("precompiled_charsmap") }
    let count = Int(word(at: 0)) / 4
    guard count > 0, bytes.count >= 4 + 4 * count else {
      throw settings.invalid("precompiled_charsmap")
    }
    units = (0..<count).map { word(at: 4 + 4 * $0) }
    replacements = Array(bytes[(4 + 4 * count)...])
  }

  func normalize(_ text: inout NormalizedText) {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.scalars.count)
    for character in String(scalars: text.scalars) {
      if character.utf8.count < 6, let replacement = replacement(for: character.utf8) {
        result.append(contentsOf: replacement.unicodeScalars)
        continue
      }
      for scalar in character.unicodeScalars {
        if let replacement = replacement(for: String(scalar).utf8) {
          result.append(contentsOf: replacement.unicodeScalars)
        } else {
          result.append(scalar)
        }
      }
    }
    text.scalars = result
  }

  /// The replacement of the shortest key that `bytes` start with.
  private func replacement(for bytes: some Sequence<UInt8>) -> String? {
    var node = Self.offset(of: units[0])
    for byte in bytes {
      if byte == 0 { return nil }
      node ^= Int(byte)
      guard node < units.count else { return nil }
      let unit = units[node]
      guard unit & 0x8000_00FF == UInt32(byte) else { return nil }
      node ^= Self.offset(of: unit)
      guard node < units.count else { return nil }
      if unit >> 8 & 1 == 1 {
        let start = Int(units[node] & 0x7FFF_FFFF)
        guard start <= replacements.count else { return nil }
        let end = replacements[start...].firstIndex(of: 0) ?? replacements.count
        return String(decoding: replacements[start..<end], as: UTF8.self)
      }
    }
    return nil
  }

  private static func offset(of unit: UInt32) -> Int {
    Int(unit >> 10) << Int((unit & 0x200) >> 6)
  }
}
