/// Cuts a template into tokens, as Jinja does with `trim_blocks` and `lstrip_blocks`: the first newline
/// after a block or comment is dropped, and so is white space before one that starts its line.
struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  private(set) var tokens: [TemplateToken] = []
  /// Whether the text that follows starts a line.
  private var startsLine = true

  static func tokens(of template: String) throws(TemplateError) -> [TemplateToken] {
    var lexer = TemplateLexer(template)
    try lexer.readTemplate()
    return lexer.tokens
  }

  /// Newlines become `\n`, and one at the end is dropped.
  private init(_ template: String) {
    var scalars: [Unicode.Scalar] = []
    var previous: Unicode.Scalar?
    for scalar in template.unicodeScalars {
      if !(scalar == "\n" && previous == "\r") { scalars.append(scalar == "\r" ? "\n" : scalar) }
      previous = scalar
    }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  // MARK: - Text

  private mutating func readTemplate() throws(TemplateError) {
    while position < source.count {
      let start = position
      while position < source.count, !isTagStart { advance() }
      guard position < source.count else {
        append(text: source[start...])
        break
      }
      let opening = source[position + 1]
      let sign = position + 2 < source.count ? source[position + 2] : " "
      append(text: stripped(source[start..<position], before: opening, sign: sign))
      let tagLine = line
      advance(by: sign == "-" || sign == "+" ? 3 : 2)
      switch opening {
      case "#": try skipComment(from: tagLine)
      case "{":
        tokens.append(TemplateToken(kind: .variableBegin, line: tagLine))
        try readCode(until: "}}", .variableEnd, from: tagLine)
      default:
        if try readRawBlock(from: tagLine) { continue }
        tokens.append(TemplateToken(kind: .blockBegin, line: tagLine))
        try readCode(until: "%}", .blockEnd, from: tagLine)
      }
    }
    tokens.append(TemplateToken(kind: .end, line: line))
  }

  private var isTagStart: Bool {
    guard source[position] == "{", position + 1 < source.count else { return false }
    let next = source[position + 1]
    return next == "%" || next == "{" || next == "#"
  }

  private mutating func append(text: ArraySlice<Unicode.Scalar>) {
    if !text.isEmpty {
      tokens.append(TemplateToken(kind: .text(String(scalars: text)), line: line))
    }
  }

  /// The text before a tag without the white space that the tag takes.
  private func stripped(
    _ text: ArraySlice<Unicode.Scalar>, before opening: Unicode.Scalar, sign: Unicode.Scalar
  ) -> ArraySlice<Unicode.Scalar> {
    var text = text
    if sign == "-" {
      while let last = text.last, last.isWhitespace { text.removeLast() }
    } else if sign != "+", opening != "{" {
      let lineStart = text.lastIndex(of: "\n").map { $0 + 1 }
      let start = lineStart ?? text.startIndex
      if lineStart != nil || startsLine, text[start...].allSatisfy(\.isWhitespace) {
        text = text[..<start]
      }
    }
    return text
  }

  private mutating func skipComment(from tagLine: Int) throws(TemplateError) {
    while position < source.count {
      if take("-#}") {
        skipWhitespace()
        return
      }
      if take("+#}") {
        startsLine = false
        return
      }
      if take("#}") {
        startsLine = take("\n")
        return
      }
      advance()
    }
    throw TemplateError.syntax(line: tagLine, found: "{#")
  }

  /// Reads `{% raw %}…{% endraw %}`, after the tag's opening; false for any other block.
  private mutating func readRawBlock(from tagLine: Int) throws(TemplateError) -> Bool {
    let before = (position, line)
    skipWhitespace()
    guard take("raw") else {
      (position, line) = before
      return false
    }
    skipWhitespace()
    if take("-%}") {
      skipWhitespace()
    } else if !take("%}") {
      (position, line) = before
      return false
    }
    let start = position
    while position < source.count {
      let end = position
      if take("{%") {
        let sign: Unicode.Scalar = take("-") ? "-" : take("+") ? "+" : " "
        skipWhitespace()
        if take("endraw") {
          skipWhitespace()
          startsLine = false
          append(text: stripped(source[start..<end], before: "%", sign: sign))
          try readBlockEnd(from: tagLine)
          return true
        }
      } else {
        advance()
      }
    }
    throw TemplateError.syntax(line: tagLine, found: "{% raw %}")
  }

  private mutating func readBlockEnd(from tagLine: Int) throws(TemplateError) {
    if take("-%}") {
      skipWhitespace()
    } else if take("+%}") {
      startsLine = false
    } else if take("%}") {
      startsLine = take("\n")
    } else {
      throw TemplateError.syntax(line: tagLine, found: "{%")
    }
  }

  // MARK: - Code

  private mutating func readCode(
    until close: String, _ endKind: TemplateToken.Kind, from tagLine: Int
  ) throws(TemplateError) {
    var depth = 0
    while true {
      skipWhitespace()
      guard position < source.count else {
        throw TemplateError.syntax(line: tagLine, found: "end of template")
      }
      // `}}` may close two dictionaries before it closes the tag.
      if depth == 0,
        isNext(close) || isNext("-" + close) || (endKind == .blockEnd && isNext("+" + close))
      {
        tokens.append(TemplateToken(kind: endKind, line: line))
        startsLine = false
        if endKind == .blockEnd {
          try readBlockEnd(from: tagLine)
        } else if take("-" + close) {
          skipWhitespace()
        } else {
          _ = take(close)
        }
        return
      }
      let token = try readToken()
      switch token.kind {
      case .symbol("("), .symbol("["), .symbol("{"): depth += 1
      case .symbol(")"), .symbol("]"), .symbol("}"): depth -= 1
      default: break
      }
      tokens.append(token)
    }
  }

  private static let symbols = [
    "==", "!=", "<=", ">=", "**", "//", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{", "}",
    "<", ">", "=", ".", ",", ":", "|", ";",
  ]

  private mutating func readToken() throws(TemplateError) -> TemplateToken {
    let scalar = source[position]
    let start = position
    let tokenLine = line
    func token(_ kind: TemplateToken.Kind) -> TemplateToken {
      TemplateToken(kind: kind, line: tokenLine)
    }
    if scalar == "_" || scalar.properties.isXIDStart {
      while position < source.count,
        source[position] == "_" || source[position].properties.isXIDContinue
      {
        advance()
      }
      return token(.name(String(scalars: source[start..<position])))
    }
    if scalar == "'" || scalar == "\"" { return token(.string(try readString(quote: scalar))) }
    if ("0"..."9").contains(scalar) { return token(try readNumber()) }
    for symbol in Self.symbols where take(symbol) { return token(.symbol(symbol)) }
    throw TemplateError.syntax(line: line, found: String(scalar))
  }

  private mutating func readNumber() throws(TemplateError) -> TemplateToken.Kind {
    var text = ""
    var isFloat = false
    while position < source.count {
      let scalar = source[position]
      let next = position + 1 < source.count ? source[position + 1] : " "
      if ("0"..."9").contains(scalar) {
        text.unicodeScalars.append(scalar)
      } else if scalar == ".", !isFloat, ("0"..."9").contains(next) {
        isFloat = true
        text.unicodeScalars.append(scalar)
      } else if scalar == "e" || scalar == "E",
        ("0"..."9").contains(next) || next == "-" || next == "+"
      {
        isFloat = true
        text.unicodeScalars.append(contentsOf: [scalar, next])
        advance()
      } else if scalar != "_" {
        break
      }
      advance()
    }
    if !isFloat, let value = Int(text) { return .integer(value) }
    if isFloat, let value = Double(text) { return .float(value) }
    throw TemplateError.syntax(line: line, found: text)
  }

  private mutating func readString(quote: Unicode.Scalar) throws(TemplateError) -> String {
    let startLine = line
    advance()
    var text = String.UnicodeScalarView()
    while position < source.count {
      let scalar = source[position]
      advance()
      if scalar == quote { return String(text) }
      if scalar == "\\", position < source.count {
        text.append(contentsOf: try readEscape())
      } else {
        text.append(scalar)
      }
    }
    throw TemplateError.syntax(line: startLine, found: String(quote))
  }

  /// Python's escapes, after the backslash; an unknown one stands for itself.
  private mutating func readEscape() throws(TemplateError) -> [Unicode.Scalar] {
    let scalar = source[position]
    advance()
    switch scalar {
    case "n": return ["\n"]
    case "t": return ["\t"]
    case "r": return ["\r"]
    case "b": return ["\u{08}"]
    case "f": return ["\u{0C}"]
    case "v": return ["\u{0B}"]
    case "a": return ["\u{07}"]
    case "\n": return []
    case "\\", "'", "\"": return [scalar]
    case "x", "u", "U":
      let length = scalar == "x" ? 2 : scalar == "u" ? 4 : 8
      let digits = source[position..<min(position + length, source.count)]
      if digits.count == length, let value = UInt32(String(scalars: digits), radix: 16),
        let escaped = Unicode.Scalar(value)
      {
        advance(by: length)
        return [escaped]
      }
      throw TemplateError.syntax(line: line, found: "\\" + String(scalar))
    case "0"..."7":
      var value = scalar.value - 0x30
      var count = 1
      while count < 3, position < source.count, ("0"..."7").contains(source[position]) {
        value = value * 8 + source[position].value - 0x30
        count += 1
        advance()
      }
      return Unicode.Scalar(value).map { [$0] } ?? []
    default: return ["\\", scalar]
    }
  }

  // MARK: - Scalars

  private func isNext(_ text: String) -> Bool {
    source[position...].starts(with: text.unicodeScalars)
  }

  private mutating func take(_ text: String) -> Bool {
    guard isNext(text) else { return false }
    advance(by: text.unicodeScalars.count)
    return true
  }

  private mutating func skipWhitespace() {
    while position < source.count, source[position].isWhitespace { advance() }
    startsLine = position > 0 && source[position - 1] == "\n"
  }

  private mutating func advance(by count: Int = 1) {
    for _ in 0..<count where position < source.count {
      if source[position] == "\n" { line += 1 }
      position += 1
    }
  }
}
