/// Finds added tokens in a text: leftmost first, the longest of those that start at one place.
struct AddedTokenSearch: Sendable {
  private var trie = TokenTrie()
  private var tokens: [Int32: AddedToken] = [:]

  mutating func insert(_ text: TokenText, _ token: AddedToken) {
    guard !text.scalars.isEmpty else { return }
    trie.insert(text.scalars, id: token.id)
    tokens[token.id] = token
  }

  /// The text cut at the added tokens; parts that are empty are left out.
  func segments(of piece: Piece) -> [AddedVocabulary.Segment] {
    let text = piece.scalars
    guard !text.isEmpty else { return [] }
    guard !tokens.isEmpty else { return [.text(piece)] }
    var segments: [AddedVocabulary.Segment] = []
    var done = text.startIndex
    var position = text.startIndex
    while position < text.endIndex {
      guard let (token, matchEnd) = longestToken(at: position, in: text) else {
        position += 1
        continue
      }
      var start = position
      var end = matchEnd
      position = matchEnd
      if token.isSingleWord {
        if start > text.startIndex, text[start - 1].isWordCharacter { continue }
        if end < text.endIndex, text[end].isWordCharacter { continue }
      }
      if token.stripsLeft {
        // White space that the token before has taken is gone.
        while start > done, text[start - 1].isWhitespace { start -= 1 }
      }
      if token.stripsRight {
        while end < text.endIndex, text[end].isWhitespace { end += 1 }
      }
      if done < start { segments.append(.text(piece[done..<start])) }
      segments.append(.token(token.id))
      done = end
    }
    if done < text.endIndex { segments.append(.text(piece[done..<text.endIndex])) }
    return segments
  }

  private func longestToken(
    at position: Int, in text: ArraySlice<Unicode.Scalar>
  ) -> (AddedToken, end: Int)? {
    var found: (Int32, Int)?
    trie.forEachPrefix(of: text[position...]) { length, id in found = (id, position + length) }
    guard let (id, end) = found, let token = tokens[id] else { return nil }
    return (token, end)
  }
}
