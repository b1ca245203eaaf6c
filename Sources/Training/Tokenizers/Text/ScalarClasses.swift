/// Properties of Unicode scalars, each at the Unicode version that the corresponding part of the
/// `tokenizers` library carries: text encodes alike on every machine, however new its Unicode data.
///
/// A scalar younger than the version counts as unassigned. The few scalars whose category changed
/// after they were assigned are listed. Compared over all scalars with tokenizers 0.23.3 and
/// Swift 6.3 (Unicode 17); a Swift older than Unicode 17 lacks the youngest lower-case pairs.
extension Unicode.Scalar {
  /// Whether the scalar was assigned in Unicode `major`.0 or before.
  func isAssigned(in major: Int) -> Bool {
    guard let age = properties.age else { return false }
    return age.major < major || (age.major == major && age.minor == 0)
  }

  /// White space: the property `White_Space`.
  var isWhitespace: Bool {
    value < 0x80 ? value == 0x20 || (0x09...0x0D).contains(value) : properties.isWhitespace
  }

  /// Whether ASCII calls the scalar punctuation, symbols included.
  var isASCIIPunctuation: Bool {
    switch value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
    default: false
    }
  }

  /// Punctuation as BERT sees it: ASCII's, and the categories P of Unicode 8.
  var isBertPunctuation: Bool {
    if value < 0x80 { return isASCIIPunctuation }
    switch value {
    case 0x166D, 0x111C9: return true
    default: return isAssigned(in: 8) && properties.generalCategory.group == .punctuation
    }
  }

  /// What BERT's normalizer removes as control characters: the categories Cc, Cf, Co of Unicode 8,
  /// but for tab, line feed and carriage return.
  var isBertControl: Bool {
    if value < 0x80 {
      return value < 0x20 && !(value == 9 || value == 10 || value == 13) || value == 0x7F
    }
    switch properties.generalCategory {
    case .control, .format: return isAssigned(in: 8)
    case .privateUse: return true
    default: return false
    }
  }

  /// Non-spacing marks (Mn) of Unicode 8, which BERT's normalizer strips.
  var isNonspacingMark: Bool {
    switch value {
    case ..<0x300: return false
    case 0x1734, 0x1171E: return true
    case 0x1885, 0x1886, 0xA9BD, 0x111C9: return false
    default: return isAssigned(in: 8) && properties.generalCategory == .nonspacingMark
    }
  }

  /// Marks (Mn, Mc, Me) of Unicode 9, which the normalizer StripAccents strips.
  var isCombiningMark: Bool {
    switch value {
    case ..<0x300: return false
    case 0x1CF2, 0x1CF3: return true
    case 0x111C9: return false
    default: return isAssigned(in: 9) && properties.generalCategory.group == .mark
    }
  }

  /// Numbers (Nd, Nl, No) of Unicode 17.
  var isNumeric: Bool {
    value < 0x80
      ? (0x30...0x39).contains(value)
      : isAssigned(in: 17) && properties.generalCategory.group == .number
  }

  /// A word character by Unicode's annex C of UTS 18, Unicode 16: alphabetic, mark, decimal number,
  /// connector punctuation, join control.
  var isWordCharacter: Bool { PatternCategories.isWord(self) || value == 0x200C || value == 0x200D }
}

/// The major class of a general category.
enum CategoryGroup { case letter, mark, number, punctuation, symbol, separator, other }

extension Unicode.GeneralCategory {
  var group: CategoryGroup {
    switch self {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      .letter
    case .nonspacingMark, .spacingMark, .enclosingMark: .mark
    case .decimalNumber, .letterNumber, .otherNumber: .number
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      .punctuation
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: .symbol
    case .spaceSeparator, .lineSeparator, .paragraphSeparator: .separator
    case .control, .format, .surrogate, .privateUse, .unassigned: .other
    @unknown default: .other
    }
  }
}
