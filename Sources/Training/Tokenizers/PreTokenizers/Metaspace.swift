/// SentencePiece's visible space: replaces spaces by `▁` and splits before each; a pre-tokenizer and a
/// decoder.
struct Metaspace: PreTokenizer, Decoder {
  enum PrependScheme: String {
    /// Only before a piece that begins the text.
    case first
    case never
    case always
  }

  let replacement: Unicode.Scalar
  let prependScheme: PrependScheme
  let splits: Bool

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    replacement = try settings.scalar("replacement")
    splits = try settings.bool("split", default: true)
    let name = try settings.optionalString("prepend_scheme") ?? "always"
    guard let scheme = PrependScheme(rawValue: name) else {
      throw settings.invalid("prepend_scheme")
    }
    if try !settings.bool("add_prefix_space", default: true) {
      guard scheme == .never || settings["prepend_scheme"] == nil else {
        throw settings.invalid("add_prefix_space")
      }
      prependScheme = .never
    } else {
      prependScheme = scheme
    }
  }

  func split(_ piece: Piece, into parts: inout [Piece]) {
    var scalars = piece.scalars.map { $0 == " " ? replacement : $0 }
    if scalars.first != replacement,
      prependScheme == .always || (prependScheme == .first && piece.startsText)
    {
      scalars.insert(replacement, at: 0)
    }
    let replaced = Piece(scalars: scalars[...], startsText: piece.startsText)
    if splits {
      replaced.append(
        replaced.scalars.spans { $0 == replacement }, .mergedWithNext, to: &parts)
    } else {
      parts.append(replaced)
    }
  }

  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    tokens.enumerated().map { index, token in
      if index == 0, prependScheme != .never { return token.filter { $0 != replacement } }
      return token.map { $0 == replacement ? " " : $0 }
    }
  }
}
