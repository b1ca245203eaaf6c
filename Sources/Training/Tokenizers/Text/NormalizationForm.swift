/// The normalization forms of Unicode (UAX 15), at Unicode 9 as in the `tokenizers` library: a younger
/// scalar neither decomposes nor composes nor moves.
enum NormalizationForm: String {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  private var isCompatible: Bool { self == .nfkc || self == .nfkd }
  private var composes: Bool { self == .nfc || self == .nfkc }

  /// A text of scalars below this one is its own normalization.
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
    var ordered = OrderedDecomposition(capacity: text.count)
    for scalar in text {
      if scalar.value < 0xA0 {
        ordered.append(scalar)
      } else if let parts = HangulSyllable.decompose(scalar) {
        for part in parts { ordered.append(part) }
      } else if let parts = DecompositionTables.decomposition(
        of: scalar, isCompatible: isCompatible)
      {
        for part in parts { ordered.append(part) }
      } else {
        ordered.append(scalar)
      }
    }
    return composes ? ordered.composed() : ordered.scalars
  }
}

/// Decomposed text whose marks are kept in canonical order (UAX 15, D109).
private struct OrderedDecomposition {
  private(set) var scalars: [Unicode.Scalar] = []
  /// The canonical combining class of each scalar.
  private var classes: [UInt8] = []

  init(capacity: Int) {
    scalars.reserveCapacity(capacity)
    classes.reserveCapacity(capacity)
  }

  mutating func append(_ scalar: Unicode.Scalar) {
    let combiningClass = scalar.combiningClass
    var i = scalars.count
    if combiningClass != 0 {
      while i > 0, classes[i - 1] > combiningClass { i -= 1 }
    }
    scalars.insert(scalar, at: i)
    classes.insert(combiningClass, at: i)
  }

  /// Composes each starter with what follows and is not blocked (UAX 15, D117).
  func composed() -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(scalars.count)
    var starter: Int?
    var previousClass: UInt8 = 0
    for (scalar, combiningClass) in zip(scalars, classes) {
      if let i = starter {
        let isAdjacent = i == result.count - 1
        if isAdjacent || (previousClass != 0 && previousClass < combiningClass),
          let composite = HangulSyllable.compose(result[i], scalar)
            ?? DecompositionTables.composite(result[i], scalar)
        {
          result[i] = composite
          continue
        }
      }
      if combiningClass == 0 { starter = result.count }
      previousClass = combiningClass
      result.append(scalar)
    }
    return result
  }
}

extension Unicode.Scalar {
  /// The canonical combining class at Unicode 9.
  fileprivate var combiningClass: UInt8 {
    value < 0x300 || !isAssigned(in: 9) ? 0 : properties.canonicalCombiningClass.rawValue
  }
}

/// The syllables of Hangul, which are composed by arithmetic (Unicode, section 3.12).
private enum HangulSyllable {
  private static let (vowels, trails): (UInt32, UInt32) = (21, 28)

  static func decompose(_ syllable: Unicode.Scalar) -> [Unicode.Scalar]? {
    guard (0xAC00...0xD7A3).contains(syllable.value) else { return nil }
    let index = syllable.value - 0xAC00
    let trail = index % trails
    let parts = [
      0x1100 + index / (vowels * trails), 0x1161 + index / trails % vowels, 0x11A7 + trail,
    ]
    return parts.prefix(trail == 0 ? 2 : 3).compactMap(Unicode.Scalar.init)
  }

  static func compose(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    switch (first.value, second.value) {
    case (0x1100...0x1112, 0x1161...0x1175):
      let index = (first.value - 0x1100) * vowels + second.value - 0x1161
      return Unicode.Scalar(0xAC00 + index * trails)
    case (0xAC00...0xD7A3, 0x11A8...0x11C2) where (first.value - 0xAC00) % trails == 0:
      return Unicode.Scalar(first.value + second.value - 0x11A7)
    default: return nil
    }
  }
}
