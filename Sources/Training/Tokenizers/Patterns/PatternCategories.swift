/// The character properties of Oniguruma's regular expressions, at Unicode 16.
enum PatternCategories {
  /// A set of general categories, one bit each, and the property Alphabetic.
  struct Mask: OptionSet, Sendable {
    let rawValue: UInt32
  }

  static func bit(_ category: Unicode.GeneralCategory) -> Mask {
    let number: UInt32 =
      switch category {
      case .uppercaseLetter: 0
      case .lowercaseLetter: 1
      case .titlecaseLetter: 2
      case .modifierLetter: 3
      case .otherLetter: 4
      case .nonspacingMark: 5
      case .spacingMark: 6
      case .enclosingMark: 7
      case .decimalNumber: 8
      case .letterNumber: 9
      case .otherNumber: 10
      case .connectorPunctuation: 11
      case .dashPunctuation: 12
      case .openPunctuation: 13
      case .closePunctuation: 14
      case .initialPunctuation: 15
      case .finalPunctuation: 16
      case .otherPunctuation: 17
      case .mathSymbol: 18
      case .currencySymbol: 19
      case .modifierSymbol: 20
      case .otherSymbol: 21
      case .spaceSeparator: 22
      case .lineSeparator: 23
      case .paragraphSeparator: 24
      case .control: 25
      case .format: 26
      case .surrogate: 27
      case .privateUse: 28
      case .unassigned: 29
      @unknown default: 29
      }
    return Mask(rawValue: 1 << number)
  }

  /// The property Alphabetic, beside the bits of the categories.
  static let alphabetic = Mask(rawValue: 1 << 30)
  static let letter = Mask(rawValue: 0b11111)
  static let mark = Mask(rawValue: 0b111 << 5)
  static let number = Mask(rawValue: 0b111 << 8)
  static let punctuation = Mask(rawValue: 0b111_1111 << 11)
  static let symbol = Mask(rawValue: 0b1111 << 18)
  static let separator = Mask(rawValue: 0b111 << 22)
  static let other = Mask(rawValue: 0b1_1111 << 25)

  private static let wordMask: Mask = [
    alphabetic, mark, bit(.decimalNumber), bit(.connectorPunctuation),
  ]

  /// The mask of a property by its name in `\p{…}`; nil for one that is not known.
  static func mask(named name: String) -> Mask? {
    switch name.lowercased().filter({ $0 != "_" && $0 != " " && $0 != "-" }) {
    case "l", "letter": letter
    case "m", "mark": mark
    case "n", "number": number
    case "p", "punctuation": punctuation
    case "s", "symbol": symbol
    case "z", "separator": separator
    case "c", "other": other
    case "lu", "uppercaseletter": bit(.uppercaseLetter)
    case "ll", "lowercaseletter": bit(.lowercaseLetter)
    case "lt", "titlecaseletter": bit(.titlecaseLetter)
    case "lm", "modifierletter": bit(.modifierLetter)
    case "lo", "otherletter": bit(.otherLetter)
    case "mn", "nonspacingmark": bit(.nonspacingMark)
    case "mc", "spacingmark": bit(.spacingMark)
    case "me", "enclosingmark": bit(.enclosingMark)
    case "nd", "decimalnumber": bit(.decimalNumber)
    case "nl", "letternumber": bit(.letterNumber)
    case "no", "othernumber": bit(.otherNumber)
    case "pc", "connectorpunctuation": bit(.connectorPunctuation)
    case "pd", "dashpunctuation": bit(.dashPunctuation)
    case "ps", "openpunctuation": bit(.openPunctuation)
    case "pe", "closepunctuation": bit(.closePunctuation)
    case "pi", "initialpunctuation": bit(.initialPunctuation)
    case "pf", "finalpunctuation": bit(.finalPunctuation)
    case "po", "otherpunctuation": bit(.otherPunctuation)
    case "sm", "mathsymbol": bit(.mathSymbol)
    case "sc", "currencysymbol": bit(.currencySymbol)
    case "sk", "modifiersymbol": bit(.modifierSymbol)
    case "so", "othersymbol": bit(.otherSymbol)
    case "zs", "spaceseparator": bit(.spaceSeparator)
    case "zl", "lineseparator": bit(.lineSeparator)
    case "zp", "paragraphseparator": bit(.paragraphSeparator)
    case "cc", "control": bit(.control)
    case "cf", "format": bit(.format)
    case "co", "privateuse": bit(.privateUse)
    case "cn", "unassigned": bit(.unassigned)
    case "alphabetic", "alpha": alphabetic
    default: nil
    }
  }

  /// The category of `scalar`, and whether it is alphabetic.
  static func mask(of scalar: Unicode.Scalar) -> Mask {
    scalar.value < 0x10000 ? basicPlane[Int(scalar.value)] : computeMask(of: scalar)
  }

  /// `\w`.
  static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    !mask(of: scalar).isDisjoint(with: wordMask)
  }

  private static let basicPlane: [Mask] = (0..<0x10000).map {
    Unicode.Scalar(UInt32($0)).map(computeMask) ?? bit(.surrogate)
  }

  private static func computeMask(of scalar: Unicode.Scalar) -> Mask {
    // LATIN LETTER PHARYNGEAL VOICED FRICATIVE was Ll until Unicode 17 made it Lo.
    if scalar.value == 0x295 { return [bit(.lowercaseLetter), alphabetic] }
    let properties = scalar.properties
    let category = bit(properties.generalCategory)
    guard scalar.isAssigned(in: 16) || category == bit(.privateUse) else { return bit(.unassigned) }
    return properties.isAlphabetic ? category.union(alphabetic) : category
  }
}
