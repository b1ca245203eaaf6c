import Safetensors

/// A token that is found in the text before the model sees it.
public struct AddedToken: Equatable, Sendable {
  public var content: String
  public var id: Int32
  /// Found only where no word character stands beside it.
  public var isSingleWord: Bool
  /// Takes the white space before it.
  public var stripsLeft: Bool
  /// Takes the white space after it.
  public var stripsRight: Bool
  /// Looked for in the normalized text, in its normalized form.
  public var isNormalized: Bool
  public var isSpecial: Bool
}

/// The tokens added to a model's vocabulary.
struct AddedVocabulary: Sendable {
  private(set) var tokens: [Int32: AddedToken] = [:]
  private var ids: [TokenText: Int32] = [:]
  /// The text that stands for a token in the normalized text, where it differs from its content.
  private var normalizedContents: [Int32: TokenText] = [:]
  private var specialContents: Set<TokenText> = []
  private var rawSearch = AddedTokenSearch()
  private var normalizedSearch = AddedTokenSearch()

  /// The `added_tokens` of a tokenizer. A token of the model keeps the model's id; others are
  /// numbered on from the largest, as the library does, whatever `id` says.
  init(
    _ list: [JSONValue], model: any TokenModel, normalizer: (any Normalizer)?
  ) throws(TokenizerError) {
    var nextID = Int32(model.vocabulary.count)
    for value in list {
      guard let fields = value.object else {
        throw TokenizerError.invalid(component: "tokenizer", key: "added_tokens")
      }
      let settings = ComponentSettings(component: "added_tokens", fields: fields)
      let content = try settings.string("content")
      let text = TokenText(content)
      guard !text.scalars.isEmpty else { continue }
      var id = ids[text] ?? model.vocabulary.id(of: text) ?? -1
      if id < 0 {
        id = nextID
        nextID += 1
      }
      let token = AddedToken(
        content: content, id: id,
        isSingleWord: try settings.bool("single_word"),
        stripsLeft: try settings.bool("lstrip"),
        stripsRight: try settings.bool("rstrip"),
        isNormalized: try settings.bool("normalized"),
        isSpecial: try settings.bool("special"))
      if token.isNormalized, let normalizer {
        var normalized = NormalizedText(scalars: Array(text.scalars), startsText: true)
        normalizer.normalize(&normalized)
        let normalizedText = TokenText(normalized.scalars[...])
        if normalizedText != text { normalizedContents[id] = normalizedText }
      }
      ids[text] = id
      tokens[id] = token
      if token.isSpecial { specialContents.insert(text) }
    }
    for token in tokens.values {
      let text = normalizedContents[token.id] ?? TokenText(token.content)
      if token.isNormalized {
        normalizedSearch.insert(text, token)
      } else {
        rawSearch.insert(text, token)
      }
    }
  }

  func id(of token: TokenText) -> Int32? { ids[token] }

  /// The token's text, normalized where it is looked for in normalized text.
  func token(of id: Int32) -> TokenText? {
    tokens[id].map { normalizedContents[id] ?? TokenText($0.content) }
  }

  func isSpecial(_ token: TokenText) -> Bool { specialContents.contains(token) }

  /// A part of a text: an added token, or text for the pre-tokenizer.
  enum Segment {
    case token(Int32)
    case text(Piece)
  }

  /// Finds the added tokens in `text` and normalizes what lies between them.
  func segments(
    of text: [Unicode.Scalar], normalizer: (any Normalizer)?
  ) -> [Segment] {
    var segments: [Segment] = []
    for segment in rawSearch.segments(of: Piece(scalars: text[...], startsText: true)) {
      guard case .text(var piece) = segment else {
        segments.append(segment)
        continue
      }
      if let normalizer {
        var normalized = NormalizedText(
          scalars: Array(piece.scalars), startsText: piece.startsText)
        normalizer.normalize(&normalized)
        piece = Piece(scalars: normalized.scalars[...], startsText: normalized.startsText)
      }
      segments.append(contentsOf: normalizedSearch.segments(of: piece))
    }
    return segments
  }
}
