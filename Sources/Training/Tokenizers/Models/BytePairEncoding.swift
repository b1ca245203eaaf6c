import Safetensors

/// Byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909): from single scalars, the pair of
/// lowest rank is merged until no pair has a rank.
struct BytePairEncoding: TokenModel {
  let vocabulary: Vocabulary
  private let merges: MergeTable
  private let unknownToken: String?
  private let unknownID: Int32?
  private let continuingPrefix: [Unicode.Scalar]
  private let endOfWordSuffix: [Unicode.Scalar]
  /// Whether unknown scalars side by side are one unknown token.
  private let fusesUnknown: Bool
  /// The byte tokens for scalars that the vocabulary lacks; nil without byte fallback.
  private let byteTokens: [Int32?]?
  /// Whether a piece that is a token is that token, whatever the merges say.
  private let ignoresMerges: Bool
  /// The ids of single scalars, where neither prefix nor suffix changes them.
  private let scalarIDs: [Unicode.Scalar: Int32]

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    vocabulary = try Vocabulary(settings)
    if let dropout = settings["dropout"]?.double, dropout != 0 {
      throw settings.unsupported("dropout")
    }
    unknownToken = try settings.optionalString("unk_token")
    unknownID = unknownToken.flatMap(vocabulary.id(of:))
    let prefix = try settings.optionalString("continuing_subword_prefix") ?? ""
    continuingPrefix = Array(prefix.unicodeScalars)
    let suffix = try settings.optionalString("end_of_word_suffix") ?? ""
    endOfWordSuffix = Array(suffix.unicodeScalars)
    fusesUnknown = try settings.bool("fuse_unk", default: false)
    let fallsBack = try settings.bool("byte_fallback", default: false)
    byteTokens = fallsBack ? vocabulary.byteTokens : nil
    ignoresMerges = try settings.bool("ignore_merges", default: false)
    merges = try MergeTable(
      settings, vocabulary: vocabulary, prefixLength: continuingPrefix.count)
    var scalarIDs: [Unicode.Scalar: Int32] = [:]
    for (token, id) in vocabulary.entries where token.scalars.count == 1 {
      if let scalar = token.scalars.first { scalarIDs[scalar] = id }
    }
    self.scalarIDs = scalarIDs
  }

  func tokenize(
    _ piece: ArraySlice<Unicode.Scalar>, into ids: inout [Int32]
  ) throws(TokenizerError) {
    if ignoresMerges, let id = vocabulary.id(of: TokenText(piece)) {
      ids.append(id)
      return
    }
    merges.merge(try initialSymbols(of: piece), into: &ids)
  }

  private func initialSymbols(
    of piece: ArraySlice<Unicode.Scalar>
  ) throws(TokenizerError) -> [Int32] {
    var symbols: [Int32] = []
    symbols.reserveCapacity(piece.count)
    var unknownIsPending = false
    for i in piece.indices {
      if let id = symbolID(at: i, of: piece) {
        if unknownIsPending, let unknownID { symbols.append(unknownID) }
        unknownIsPending = false
        symbols.append(id)
        continue
      }
      // Bytes do not end a pending unknown token: it comes after them, as in the library.
      if let byteTokens, let bytes = bytes(at: i, of: piece, byteTokens) {
        symbols.append(contentsOf: bytes)
        continue
      }
      guard unknownToken != nil else { continue }
      guard let unknownID else { throw TokenizerError.unknownTokenMissing(model: "BPE") }
      if unknownIsPending, !fusesUnknown { symbols.append(unknownID) }
      unknownIsPending = true
    }
    if unknownIsPending, let unknownID { symbols.append(unknownID) }
    return symbols
  }

  private func symbolID(at i: Int, of piece: ArraySlice<Unicode.Scalar>) -> Int32? {
    if continuingPrefix.isEmpty && endOfWordSuffix.isEmpty { return scalarIDs[piece[i]] }
    return vocabulary.id(of: TokenText(symbol(at: i, of: piece)[...]))
  }

  private func symbol(at i: Int, of piece: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
    (i > piece.startIndex ? continuingPrefix : []) + [piece[i]]
      + (i == piece.endIndex - 1 ? endOfWordSuffix : [])
  }

  private func bytes(
    at i: Int, of piece: ArraySlice<Unicode.Scalar>, _ byteTokens: [Int32?]
  ) -> [Int32]? {
    var ids: [Int32] = []
    for byte in String(scalars: symbol(at: i, of: piece)).utf8 {
      guard let id = byteTokens[Int(byte)] else { return nil }
      ids.append(id)
    }
    return ids
  }
}
