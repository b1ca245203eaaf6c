import Foundation

/// The normalization forms of Unicode (UAX 15), at Unicode 9 as in the `tokenizers` library.
///
/// A scalar younger than Unicode 9 neither decomposes nor composes nor moves; the text is cut there
/// and the parts are normalized on their own.
enum NormalizationForm: String {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  /// Below this scalar a text is its own normalization.
  private var firstAffected: UInt32 {
    switch self {
    case .nfc: 0x300
    case .nfd: 0xC0
    case .nfkc, .nfkd: 0xA0
    }
  }

  func normalize(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    let limit = firstAffected
    if text.allSatisfy({ $0.value < limit }) { return text }
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.count + text.count / 8)
    for part in text.split(
      omittingEmptySubsequences: false,
      whereSeparator: { $0.value >= 0x300 && !$0.isAssigned(in: 9) })
    {
      if !part.isEmpty { result.append(contentsOf: normalizeAssigned(part).unicodeScalars) }
      if part.endIndex < text.endIndex { result.append(text[part.endIndex]) }
    }
    return result
  }

  private func normalizeAssigned(_ text: ArraySlice<Unicode.Scalar>) -> String {
    let string = String(scalars: text)
    return switch self {
    case .nfc: string.precomposedStringWithCanonicalMapping
    case .nfd: string.decomposedStringWithCanonicalMapping
    case .nfkc: string.precomposedStringWithCompatibilityMapping
    case .nfkd: string.decomposedStringWithCompatibilityMapping
    }
  }
}
