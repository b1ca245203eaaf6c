/// Splits by a pattern.
struct SplitPreTokenizer: PreTokenizer {
  let pattern: Pattern
  let behavior: DelimiterBehavior
  /// Whether what the pattern matches is the text, and the rest the delimiters.
  let isInverted: Bool

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    pattern = try Pattern(settings)
    behavior = try DelimiterBehavior(settings)
    isInverted = try settings.bool("invert")
  }

  func split(_ piece: Piece, into parts: inout [Piece]) {
    var spans = pattern.spans(in: piece.scalars)
    if isInverted {
      for i in spans.indices { spans[i].isDelimiter.toggle() }
    }
    piece.append(spans, behavior, to: &parts)
  }
}

extension DelimiterBehavior {
  /// The `behavior` of a component.
  init(_ settings: ComponentSettings) throws(TokenizerError) {
    let name = try settings.string("behavior")
    // Bindings write the names in snake case where the files have them capitalized.
    let capitalized = name.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }
    guard let behavior = Self(rawValue: capitalized.joined()) else {
      throw settings.invalid("behavior")
    }
    self = behavior
  }
}

/// White space dropped, each punctuation mark on its own.
struct BertPreTokenizer: PreTokenizer {
  func split(_ piece: Piece, into parts: inout [Piece]) {
    let scalars = piece.scalars
    var start = scalars.startIndex
    for i in scalars.indices {
      let isSpace = scalars[i].isWhitespace
      guard isSpace || scalars[i].isBertPunctuation else { continue }
      if start < i { parts.append(piece[start..<i]) }
      if !isSpace { parts.append(piece[i..<i + 1]) }
      start = i + 1
    }
    if start < scalars.endIndex { parts.append(piece[start..<scalars.endIndex]) }
  }
}

/// Runs of word characters and runs of what is neither word nor white space: `\w+|[^\w\s]+`.
struct WhitespacePreTokenizer: PreTokenizer {
  func split(_ piece: Piece, into parts: inout [Piece]) {
    let scalars = piece.scalars
    var start = scalars.startIndex
    while start < scalars.endIndex {
      if scalars[start].isWhitespace {
        start += 1
        continue
      }
      let isWord = scalars[start].isWordCharacter
      var end = start + 1
      while end < scalars.endIndex, !scalars[end].isWhitespace,
        scalars[end].isWordCharacter == isWord
      {
        end += 1
      }
      parts.append(piece[start..<end])
      start = end
    }
  }
}

/// What lies between white space.
struct WhitespaceSplitPreTokenizer: PreTokenizer {
  func split(_ piece: Piece, into parts: inout [Piece]) {
    piece.append(piece.scalars.spans(where: \.isWhitespace), .removed, to: &parts)
  }
}

/// Digits apart from the rest: one by one, or runs of them.
struct DigitsPreTokenizer: PreTokenizer {
  let isIndividual: Bool

  func split(_ piece: Piece, into parts: inout [Piece]) {
    let behavior: DelimiterBehavior = isIndividual ? .isolated : .contiguous
    piece.append(piece.scalars.spans(where: \.isNumeric), behavior, to: &parts)
  }
}

struct PunctuationPreTokenizer: PreTokenizer {
  let behavior: DelimiterBehavior

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    behavior = settings["behavior"] == nil ? .isolated : try DelimiterBehavior(settings)
  }

  func split(_ piece: Piece, into parts: inout [Piece]) {
    piece.append(piece.scalars.spans(where: \.isBertPunctuation), behavior, to: &parts)
  }
}

/// What lies between occurrences of one scalar.
struct DelimiterPreTokenizer: PreTokenizer {
  let delimiter: Unicode.Scalar

  func split(_ piece: Piece, into parts: inout [Piece]) {
    piece.append(piece.scalars.spans { $0 == delimiter }, .removed, to: &parts)
  }
}

/// Stretches of a fixed number of scalars.
struct FixedLengthPreTokenizer: PreTokenizer {
  let length: Int

  func split(_ piece: Piece, into parts: inout [Piece]) {
    let scalars = piece.scalars
    for start in stride(from: scalars.startIndex, to: scalars.endIndex, by: length) {
      parts.append(piece[start..<min(start + length, scalars.endIndex)])
    }
  }
}
