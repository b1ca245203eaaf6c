/// A set of Unicode scalars as a regular expression writes it: `\p{L}`, `[^\s\p{N}]`, `[a-z&&[^x]]`.
final class PatternSet: Sendable {
  indirect enum Member: Sendable {
    case range(ClosedRange<UInt32>)
    case categories(PatternCategories.Mask)
    case whitespace
    /// `\w` within brackets: alphabetic, marks, decimal numbers, connector punctuation.
    case word
    case set(PatternSet)
  }

  private let members: [Member]
  private let isNegated: Bool
  private let ignoresCase: Bool
  /// The sets with which this one is intersected, before negation.
  private let intersections: [PatternSet]
  /// The answer for each ASCII scalar.
  private let ascii: (UInt64, UInt64)

  init(
    _ members: [Member], isNegated: Bool = false, ignoresCase: Bool = false,
    intersections: [PatternSet] = []
  ) {
    self.members = members
    self.isNegated = isNegated
    self.ignoresCase = ignoresCase
    self.intersections = intersections
    var bits: [UInt64] = [0, 0]
    for value in UInt8(0)..<128
    where Self.evaluate(
      Unicode.Scalar(value), members, isNegated, ignoresCase, intersections)
    {
      bits[Int(value >> 6)] |= 1 << UInt64(value & 63)
    }
    ascii = (bits[0], bits[1])
  }

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    let value = scalar.value
    if value < 64 { return ascii.0 >> UInt64(value) & 1 == 1 }
    if value < 128 { return ascii.1 >> UInt64(value - 64) & 1 == 1 }
    return Self.evaluate(scalar, members, isNegated, ignoresCase, intersections)
  }

  private static func evaluate(
    _ scalar: Unicode.Scalar, _ members: [Member], _ isNegated: Bool, _ ignoresCase: Bool,
    _ intersections: [PatternSet]
  ) -> Bool {
    var isMember = matches(scalar, members)
    if !isMember, ignoresCase {
      let folded = scalar.caseFolded
      isMember = matches(folded, members) || matches(folded.simpleUppercase, members)
    }
    if isMember { isMember = intersections.allSatisfy { $0.contains(scalar) } }
    return isMember != isNegated
  }

  private static func matches(_ scalar: Unicode.Scalar, _ members: [Member]) -> Bool {
    for member in members {
      switch member {
      case .range(let range): if range.contains(scalar.value) { return true }
      case .categories(let mask):
        if !PatternCategories.mask(of: scalar).isDisjoint(with: mask) { return true }
      case .whitespace: if scalar.isWhitespace { return true }
      case .word: if PatternCategories.isWord(scalar) { return true }
      case .set(let set): if set.contains(scalar) { return true }
      }
    }
    return false
  }
}

extension Unicode.Scalar {
  /// The scalar under which letters that differ only in case meet (simple case folding): `ſ` → `s`.
  var caseFolded: Unicode.Scalar {
    // Dotless i has the capital I, but folds to itself.
    if value == 0x131 { return self }
    return Self.single(simpleUppercase.properties.lowercaseMapping) ?? self
  }

  var simpleUppercase: Unicode.Scalar { Self.single(properties.uppercaseMapping) ?? self }

  private static func single(_ mapping: String) -> Unicode.Scalar? {
    let scalars = mapping.unicodeScalars
    return scalars.count == 1 ? scalars.first : nil
  }
}
