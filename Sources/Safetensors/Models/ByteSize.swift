/// A number of bytes written as huggingface_hub writes shard sizes.
public enum ByteSize {
  /// The text is no number followed by a known unit.
  public struct InvalidText: Error, Equatable, Sendable {
    public let text: String
  }

  /// The bytes of `"5GB"`, `"1.5 MB"`, `"300000"`: decimal units KB, MB, GB and TB, binary KiB to TiB,
  /// in any case; a fraction of a byte is dropped.
  public static func parse(_ text: String) throws(InvalidText) -> Int {
    let units: [(suffix: String, bytes: Double)] = [
      ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("tib", 0x1p40),
      ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12), ("b", 1), ("", 1),
    ]
    let lowercase = text.lowercased()
    guard let unit = units.first(where: { lowercase.hasSuffix($0.suffix) }) else {
      throw InvalidText(text: text)
    }
    var digits = Substring(lowercase.dropLast(unit.suffix.count))
    while digits.last == " " { digits.removeLast() }
    // Plain decimals only: `Double` would also read `1e3`, `0x10`, `nan`.
    guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber || $0 == "." }),
      let value = Double(digits), let bytes = Int(exactly: (value * unit.bytes).rounded(.down))
    else { throw InvalidText(text: text) }
    return bytes
  }
}
