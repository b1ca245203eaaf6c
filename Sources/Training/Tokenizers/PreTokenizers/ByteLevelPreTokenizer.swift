/// GPT-2's splitting into words, then each word's UTF-8 bytes as scalars of ``ByteAlphabet``.
struct ByteLevelPreTokenizer: PreTokenizer {
  let addsPrefixSpace: Bool
  /// GPT-2's pattern; nil where another pre-tokenizer has split the text already.
  let pattern: Pattern?

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    addsPrefixSpace = try settings.bool("add_prefix_space")
    pattern =
      try settings.bool("use_regex", default: true)
      ? Pattern(
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#) : nil
  }

  func split(_ piece: Piece, into parts: inout [Piece]) {
    var scalars = piece.scalars
    if addsPrefixSpace, let first = scalars.first, first != " " { scalars = [" "] + scalars }
    let words = pattern?.spans(in: scalars).map(\.range) ?? [scalars.indices]

    var letters: [Unicode.Scalar] = []
    letters.reserveCapacity(scalars.count)
    var ends: [Int] = []
    ends.reserveCapacity(words.count)
    for word in words where !word.isEmpty {
      for scalar in scalars[word] { ByteAlphabet.append(scalar, to: &letters) }
      ends.append(letters.count)
    }
    var start = 0
    for end in ends {
      parts.append(
        Piece(scalars: letters[start..<end], startsText: piece.startsText && start == 0))
      start = end
    }
  }
}
