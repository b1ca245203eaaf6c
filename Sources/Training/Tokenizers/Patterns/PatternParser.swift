/// Reads a regular expression in the syntax of Oniguruma (Ruby), as far as tokenizers use it:
/// literals, `.`, sets with nesting and `&&`, `\p{…}` of general categories, `\s \d \w \h` and their
/// complements, groups, `(?i:…)`, look-ahead, look-behind of fixed width, atomic groups, greedy, lazy
/// and possessive repetition, and the anchors. Case is ignored scalar by scalar: `ß` is not `ss`.
struct PatternParser {
  private let pattern: String
  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var ignoresCase = false
  private var dotMatchesNewline = false
  private var depth = 0

  /// How deep groups and sets may nest.
  private static let maximumDepth = 50

  static func parse(_ pattern: String) throws(TokenizerError) -> PatternSyntax {
    var parser = PatternParser(pattern)
    let syntax = try parser.readAlternatives()
    guard parser.position == parser.scalars.count else { throw parser.unsupported(")") }
    return syntax
  }

  private init(_ pattern: String) {
    self.pattern = pattern
    scalars = Array(pattern.unicodeScalars)
  }

  // MARK: - Structure

  private mutating func readAlternatives() throws(TokenizerError) -> PatternSyntax {
    let caseBefore = ignoresCase
    let dotBefore = dotMatchesNewline
    try enter()
    defer {
      depth -= 1
      ignoresCase = caseBefore
      dotMatchesNewline = dotBefore
    }
    var branches = [try readSequence()]
    while take("|") { branches.append(try readSequence()) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func readSequence() throws(TokenizerError) -> PatternSyntax {
    var parts: [PatternSyntax] = []
    while let next = current, next != "|", next != ")" {
      guard let atom = try readAtom() else { continue }
      parts.append(try readRepetitions(of: atom))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  /// The next atom; nil for a group that only sets options.
  private mutating func readAtom() throws(TokenizerError) -> PatternSyntax? {
    guard let scalar = current else { throw unsupported("end") }
    position += 1
    switch scalar {
    case "(": return try readGroup()
    case "[": return .set(try readSet())
    case ".":
      return .set(dotMatchesNewline ? PatternSet([], isNegated: true) : Self.notNewline)
    case "^": return .boundary(.lineStart)
    case "$": return .boundary(.lineEnd)
    case "\\": return try readEscapedAtom()
    case "*", "+", "?": throw unsupported(String(scalar), back: 1)
    default: return literal(scalar)
    }
  }

  private static let notNewline = PatternSet([.range(0x0A...0x0A)], isNegated: true)

  private func literal(_ scalar: Unicode.Scalar) -> PatternSyntax {
    let folded = ignoresCase ? scalar.caseFolded : scalar
    // Letters beyond the two cases (ſ, K) reach the folded one through the set's own folding.
    return .set(
      PatternSet([.range(folded.value...folded.value)], ignoresCase: ignoresCase))
  }

  private mutating func readGroup() throws(TokenizerError) -> PatternSyntax? {
    var syntax: PatternSyntax
    if take("?:") {
      syntax = try readAlternatives()
    } else if take("?=") {
      syntax = .look(try readAlternatives(), ahead: true, isNegated: false)
    } else if take("?!") {
      syntax = .look(try readAlternatives(), ahead: true, isNegated: true)
    } else if take("?<=") {
      syntax = .look(try readAlternatives(), ahead: false, isNegated: false)
    } else if take("?<!") {
      syntax = .look(try readAlternatives(), ahead: false, isNegated: true)
    } else if take("?>") {
      syntax = .atomic(try readAlternatives())
    } else if take("?") {
      let caseBefore = ignoresCase
      let dotBefore = dotMatchesNewline
      try readOptions()
      // `(?i)` holds to the end of the enclosing group.
      if take(")") { return nil }
      guard take(":") else { throw unsupported("(?") }
      syntax = try readAlternatives()
      ignoresCase = caseBefore
      dotMatchesNewline = dotBefore
    } else {
      syntax = try readAlternatives()
    }
    guard take(")") else { throw unsupported("(") }
    if case .look(let body, ahead: false, _) = syntax, body.fixedWidth == nil {
      throw unsupported("look-behind of variable width")
    }
    return syntax
  }

  private mutating func readOptions() throws(TokenizerError) {
    var isOn = true
    while let option = current, option != ":", option != ")" {
      switch option {
      case "-": isOn = false
      case "i": ignoresCase = isOn
      case "m": dotMatchesNewline = isOn
      default: throw unsupported("(?" + String(option))
      }
      position += 1
    }
  }

  // MARK: - Repetition

  private mutating func readRepetitions(
    of atom: PatternSyntax
  ) throws(TokenizerError) -> PatternSyntax {
    var syntax = atom
    var count = 0
    while let (minimum, maximum, takesGreed) = try readCounts() {
      count += 1
      if count > 4 { throw unsupported("repeated repetition") }
      var greed = PatternSyntax.Greed.greedy
      if take("?") { greed = .lazy } else if takesGreed, take("+") { greed = .possessive }
      if maximum == nil, syntax.matchesEmpty {
        throw unsupported("unlimited repetition of what may be empty")
      }
      if let maximum, minimum > maximum || maximum > 1000 { throw unsupported("{n,m}") }
      syntax = .repetition(syntax, minimum: minimum, maximum: maximum, greed: greed)
    }
    return syntax
  }

  /// The counts of `*`, `+`, `?`, `{n}`, `{n,}`, `{,m}`, `{n,m}`, and whether a `+` after it makes it
  /// possessive (not after braces: there it repeats once more).
  private mutating func readCounts() throws(TokenizerError) -> (Int, Int?, Bool)? {
    if take("*") { return (0, nil, true) }
    if take("+") { return (1, nil, true) }
    if take("?") { return (0, 1, true) }
    guard current == "{" else { return nil }
    let start = position
    position += 1
    let minimum = readNumber()
    var maximum = minimum
    if take(",") { maximum = readNumber() } else if minimum == nil { maximum = nil }
    guard take("}"), minimum != nil || maximum != nil else {
      // Oniguruma takes other braces literally.
      position = start
      throw unsupported("{")
    }
    return (minimum ?? 0, maximum, false)
  }

  private mutating func readNumber() -> Int? {
    var digits = ""
    while let scalar = current, ("0"..."9").contains(scalar), digits.utf8.count < 6 {
      digits.unicodeScalars.append(scalar)
      position += 1
    }
    return Int(digits)
  }

  // MARK: - Escapes

  private mutating func readEscapedAtom() throws(TokenizerError) -> PatternSyntax {
    switch current {
    case "A": return boundary(.textStart)
    case "z": return boundary(.textEnd)
    case "Z": return boundary(.textEndOrLastNewline)
    case "b": return boundary(.word)
    case "B": return boundary(.notWord)
    case "w", "W":
      let isNegated = current == "W"
      position += 1
      return .set(PatternSet(Self.bareWord, isNegated: isNegated))
    default: break
    }
    if let set = try readEscapedSet() { return .set(set) }
    return literal(try readEscapedScalar())
  }

  /// `\w` outside brackets: the superscripts and fractions of Latin-1 too.
  static let bareWord: [PatternSet.Member] = [
    .word, .range(0xB2...0xB3), .range(0xB9...0xB9), .range(0xBC...0xBE),
  ]

  private mutating func boundary(_ boundary: PatternSyntax.Boundary) -> PatternSyntax {
    position += 1
    return .boundary(boundary)
  }

  /// The set of `\s`, `\p{L}` and the like, after the backslash; nil for an escaped scalar.
  private mutating func readEscapedSet() throws(TokenizerError) -> PatternSet? {
    guard let letter = current else { throw unsupported("\\") }
    let member: PatternSet.Member
    switch letter {
    case "s", "S": member = .whitespace
    case "w", "W": member = .word
    case "d", "D": member = .categories(PatternCategories.bit(.decimalNumber))
    case "h", "H":
      let digits: [PatternSet.Member] = [
        .range(0x30...0x39), .range(0x41...0x46), .range(0x61...0x66),
      ]
      position += 1
      return PatternSet(digits, isNegated: letter == "H")
    case "p", "P":
      position += 1
      return try readProperty(isNegated: letter == "P")
    default: return nil
    }
    position += 1
    return PatternSet([member], isNegated: ("A"..."Z").contains(letter))
  }

  private mutating func readProperty(isNegated: Bool) throws(TokenizerError) -> PatternSet {
    guard take("{") else { throw unsupported("\\p") }
    let isInverted = take("^")
    var name = ""
    while let scalar = current, scalar != "}" {
      name.unicodeScalars.append(scalar)
      position += 1
    }
    guard take("}"), let mask = PatternCategories.mask(named: name) else {
      throw unsupported("\\p{\(name)}")
    }
    return PatternSet([.categories(mask)], isNegated: isNegated != isInverted)
  }

  private mutating func readEscapedScalar() throws(TokenizerError) -> Unicode.Scalar {
    guard let scalar = current else { throw unsupported("\\") }
    position += 1
    switch scalar {
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "f": return "\u{0C}"
    case "v": return "\u{0B}"
    case "a": return "\u{07}"
    case "e": return "\u{1B}"
    case "u": return try readHexadecimal(digits: 4)
    case "x":
      guard take("{") else { return try readHexadecimal(digits: 2) }
      let scalar = try readHexadecimal(digits: 8)
      guard take("}") else { throw unsupported("\\x{") }
      return scalar
    case "0"..."9", "A"..."Z", "a"..."z": throw unsupported("\\" + String(scalar), back: 2)
    default: return scalar
    }
  }

  private mutating func readHexadecimal(digits: Int) throws(TokenizerError) -> Unicode.Scalar {
    var value: UInt32 = 0
    var count = 0
    while count < digits, let digit = current.flatMap({ Character($0).hexDigitValue }) {
      value = value << 4 | UInt32(digit)
      count += 1
      position += 1
    }
    guard count > 0, let scalar = Unicode.Scalar(value) else { throw unsupported("\\x") }
    return scalar
  }

  // MARK: - Sets

  /// A set, after its opening bracket.
  private mutating func readSet() throws(TokenizerError) -> PatternSet {
    try enter()
    defer { depth -= 1 }
    let isNegated = take("^")
    var members: [PatternSet.Member] = []
    var intersections: [PatternSet] = []
    // A bracket in first place is a literal.
    if take("]") { members.append(.range(0x5D...0x5D)) }
    while true {
      guard let scalar = current else { throw unsupported("[") }
      if take("]") { break }
      if take("&&") {
        intersections.append(PatternSet(members, ignoresCase: ignoresCase))
        members = []
        continue
      }
      if take("[:") {
        members.append(try readBracketClass())
        continue
      }
      position += 1
      if scalar == "[" {
        members.append(.set(try readSet()))
        continue
      }
      if scalar == "\\", let set = try readEscapedSet() {
        members.append(.set(set))
        continue
      }
      let first = scalar == "\\" ? try readEscapedScalar() : scalar
      members.append(.range(first.value...(try readRangeEnd(from: first)).value))
    }
    return PatternSet(
      members, isNegated: isNegated, ignoresCase: ignoresCase, intersections: intersections)
  }

  /// The end of the range that starts with `first`; `first` where there is no range.
  private mutating func readRangeEnd(
    from first: Unicode.Scalar
  ) throws(TokenizerError) -> Unicode.Scalar {
    guard current == "-", position + 1 < scalars.count, scalars[position + 1] != "]",
      scalars[position + 1] != "["
    else { return first }
    position += 1
    guard var last = current else { throw unsupported("[") }
    position += 1
    if last == "\\" { last = try readEscapedScalar() }
    guard first <= last else { throw unsupported("empty range") }
    return last
  }

  /// A POSIX class, after `[:`.
  private mutating func readBracketClass() throws(TokenizerError) -> PatternSet.Member {
    let isNegated = take("^")
    var name = ""
    while let scalar = current, scalar != ":" {
      name.unicodeScalars.append(scalar)
      position += 1
    }
    guard take(":]") else { throw unsupported("[:") }
    let member: PatternSet.Member
    switch name {
    case "alpha": member = .categories(PatternCategories.alphabetic)
    case "digit": member = .categories(PatternCategories.bit(.decimalNumber))
    case "upper": member = .categories(PatternCategories.bit(.uppercaseLetter))
    case "punct":
      member = .categories(PatternCategories.punctuation.union(PatternCategories.symbol))
    case "space": member = .whitespace
    case "word": member = .word
    default: throw unsupported("[:\(name):]")
    }
    return isNegated ? .set(PatternSet([member], isNegated: true)) : member
  }

  // MARK: - Scalars

  private var current: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  /// Steps over `text` if it comes next.
  private mutating func take(_ text: String) -> Bool {
    let wanted = text.unicodeScalars
    guard scalars[position...].starts(with: wanted) else { return false }
    position += wanted.count
    return true
  }

  private mutating func enter() throws(TokenizerError) {
    depth += 1
    if depth > Self.maximumDepth { throw unsupported("nesting") }
  }

  private func unsupported(_ construct: String, back: Int = 0) -> TokenizerError {
    TokenizerError.unsupportedPattern(pattern, offset: position - back, construct: construct)
  }
}
