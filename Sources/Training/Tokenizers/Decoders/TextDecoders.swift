/// WordPiece: tokens joined by spaces, continuations without their prefix; on request, the spaces
/// before punctuation and English contractions taken out.
struct WordPieceDecoder: Decoder {
  let prefix: [Unicode.Scalar]
  let cleansUp: Bool

  private static let cleanups: [(Pattern, [Unicode.Scalar])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Pattern(literal: $0.0), Array($0.1.unicodeScalars)) }

  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    tokens.enumerated().map { index, token in
      var text = token
      if index > 0 {
        text = text.starts(with: prefix) ? Array(text.dropFirst(prefix.count)) : [" "] + text
      }
      if cleansUp {
        for (pattern, replacement) in Self.cleanups {
          text = pattern.replacing(in: text, with: replacement)
        }
      }
      return text
    }
  }
}

/// Byte pair encoding with an end-of-word suffix, which becomes a space; at the end of the text,
/// nothing.
struct SuffixDecoder: Decoder {
  let suffix: Pattern

  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    tokens.enumerated().map { index, token in
      suffix.replacing(in: token, with: index == tokens.count - 1 ? [] : [" "])
    }
  }
}

/// All tokens as one.
struct FuseDecoder: Decoder {
  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] { [tokens.flatMap { $0 }] }
}

/// Takes up to `start` and `stop` times a scalar off the ends of each token.
struct StripDecoder: Decoder {
  let content: Unicode.Scalar
  let start: Int
  let stop: Int

  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    tokens.map { token in
      var rest = token[...]
      for _ in 0..<start where rest.first == content { rest.removeFirst() }
      for _ in 0..<stop where rest.last == content { rest.removeLast() }
      return Array(rest)
    }
  }
}
