import Safetensors

/// The second step of encoding: cuts the text into the pieces that the model sees.
protocol PreTokenizer: Sendable {
  /// Appends the parts of `piece` in order; none is empty.
  func split(_ piece: Piece, into parts: inout [Piece])
}

/// Reads the `pre_tokenizer` of a tokenizer.
func readPreTokenizer(_ value: JSONValue) throws(TokenizerError) -> any PreTokenizer {
  let settings = try ComponentSettings(value, role: "pre_tokenizer")
  switch settings.component {
  case "ByteLevel": return try ByteLevelPreTokenizer(settings)
  case "BertPreTokenizer": return BertPreTokenizer()
  case "Whitespace": return WhitespacePreTokenizer()
  case "WhitespaceSplit": return WhitespaceSplitPreTokenizer()
  case "Metaspace": return try Metaspace(settings)
  case "Split": return try SplitPreTokenizer(settings)
  case "Digits": return DigitsPreTokenizer(isIndividual: try settings.bool("individual_digits"))
  case "Punctuation": return try PunctuationPreTokenizer(settings)
  case "CharDelimiterSplit":
    return DelimiterPreTokenizer(delimiter: try settings.scalar("delimiter"))
  case "FixedLength":
    return FixedLengthPreTokenizer(length: max(1, try settings.count("length", default: 5)))
  case "Sequence":
    var parts: [any PreTokenizer] = []
    for value in try settings.array("pretokenizers") { parts.append(try readPreTokenizer(value)) }
    return PreTokenizerSequence(steps: parts)
  default:
    throw TokenizerError.unsupported(component: "pre_tokenizer", feature: settings.component)
  }
}

struct PreTokenizerSequence: PreTokenizer {
  let steps: [any PreTokenizer]

  func split(_ piece: Piece, into parts: inout [Piece]) {
    var pieces = [piece]
    for step in steps {
      var next: [Piece] = []
      next.reserveCapacity(pieces.count)
      for piece in pieces { step.split(piece, into: &next) }
      pieces = next
    }
    parts.append(contentsOf: pieces)
  }
}

extension Piece {
  /// Appends the parts that remain when `behavior` has treated the spans.
  func append(
    _ spans: [DelimiterSpan], _ behavior: DelimiterBehavior, to parts: inout [Piece]
  ) {
    for range in behavior.apply(to: spans) { parts.append(self[range]) }
  }
}
