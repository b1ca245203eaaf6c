import Safetensors

/// A tokenizer as `tokenizer.json` of the `tokenizers` library describes it: the same ids for the same
/// text.
///
/// A text goes through: added tokens cut out, normalizer, pre-tokenizer, model, truncation,
/// post-processor, padding. Components that are not implemented are an error when the file is read.
public struct Tokenizer: Sendable {
  private let normalizer: (any Normalizer)?
  private let preTokenizer: (any PreTokenizer)?
  private let model: any TokenModel
  private let postProcessor: (any PostProcessor)?
  private let decoder: (any Decoder)?
  private let added: AddedVocabulary
  private let cache = PieceCache()

  /// Applied by `encode`; as the file says until changed.
  public var truncation: Truncation?
  /// Applied by `encode`; as the file says until changed.
  public var padding: Padding?

  /// - Parameter path: a `tokenizer.json`.
  public init(contentsOfFile path: String) throws(TokenizerError) {
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try InputFile(path: path).readAll()
    } catch {
      throw TokenizerError.file(error)
    }
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue.parse(bytes)
    } catch {
      throw TokenizerError.json(error)
    }
    try self.init(json)
  }

  public init(_ json: JSONValue) throws(TokenizerError) {
    let fields = json.object ?? JSONObject()
    let settings = ComponentSettings(component: "tokenizer", fields: fields)
    if let version = try settings.optionalString("version"), version != "1.0" {
      throw TokenizerError.unknownVersion(version)
    }
    model = try readModel(try settings.required("model"))
    if let value = settings["normalizer"] {
      normalizer = try readNormalizer(value)
    } else {
      normalizer = nil
    }
    if let value = settings["pre_tokenizer"] {
      preTokenizer = try readPreTokenizer(value)
    } else {
      preTokenizer = nil
    }
    if let value = settings["post_processor"] {
      postProcessor = try readPostProcessor(value)
    } else {
      postProcessor = nil
    }
    if let value = settings["decoder"] { decoder = try readDecoder(value) } else { decoder = nil }
    added = try AddedVocabulary(
      settings["added_tokens"] == nil ? [] : try settings.array("added_tokens"), model: model,
      normalizer: normalizer)
    if let fields = settings["truncation"]?.object {
      truncation = try Truncation(ComponentSettings(component: "truncation", fields: fields))
    }
    if let fields = settings["padding"]?.object {
      padding = try Padding(ComponentSettings(component: "padding", fields: fields))
    }
  }

  // MARK: - Vocabulary

  public func id(of token: String) -> Int32? {
    let text = TokenText(token)
    return added.id(of: text) ?? model.vocabulary.id(of: text)
  }

  public func token(of id: Int32) -> String? {
    tokenText(of: id).map { String(scalars: $0.scalars) }
  }

  /// How many tokens there are, added ones included.
  public var vocabularySize: Int {
    model.vocabulary.count
      + added.tokens.values.count { model.vocabulary.id(of: $0.content) == nil }
  }

  public var addedTokens: [AddedToken] { added.tokens.values.sorted { $0.id < $1.id } }

  private func tokenText(of id: Int32) -> TokenText? {
    added.token(of: id) ?? model.vocabulary.token(of: id)
  }

  // MARK: - Encoding

  /// Encodes a text, or a pair of texts.
  ///
  /// - Parameter addsSpecialTokens: whether the post-processor adds `[CLS]`, `<s>` and the like.
  public func encode(
    _ text: String, pair: String? = nil, addsSpecialTokens: Bool = true
  ) throws(TokenizerError) -> Encoding {
    var encodings = [Encoding(ids: try ids(of: text))]
    if let pair { encodings.append(Encoding(ids: try ids(of: pair), typeID: 1)) }
    try truncation?.apply(
      to: &encodings,
      addedTokens: addsSpecialTokens
        ? postProcessor?.addedTokens(isPair: encodings.count == 2) ?? 0 : 0)
    if let postProcessor {
      encodings = postProcessor.process(encodings, addsSpecialTokens: addsSpecialTokens)
    }
    var result = [Encoding()]
    for encoding in encodings { result[0].append(encoding) }
    padding?.apply(to: &result)
    return result[0]
  }

  /// Encodes texts and pads them to one length if there is a padding.
  public func encode(
    batch texts: [String], addsSpecialTokens: Bool = true
  ) throws(TokenizerError) -> [Encoding] {
    var encodings: [Encoding] = []
    for text in texts {
      encodings.append(try encode(text, addsSpecialTokens: addsSpecialTokens))
    }
    padding?.apply(to: &encodings)
    return encodings
  }

  /// The ids of the text itself, without special tokens, truncation and padding.
  public func ids(of text: String) throws(TokenizerError) -> [Int32] {
    var ids: [Int32] = []
    for segment in added.segments(of: Array(text.unicodeScalars), normalizer: normalizer) {
      switch segment {
      case .token(let id): ids.append(id)
      case .text(let piece):
        var pieces = [piece]
        if let preTokenizer {
          pieces = []
          preTokenizer.split(piece, into: &pieces)
        }
        for piece in pieces { try appendIDs(of: piece.scalars, to: &ids) }
      }
    }
    return ids
  }

  private func appendIDs(
    of piece: ArraySlice<Unicode.Scalar>, to ids: inout [Int32]
  ) throws(TokenizerError) {
    if piece.isEmpty || cache.append(TokenText(piece), to: &ids) { return }
    let start = ids.count
    try model.tokenize(piece, into: &ids)
    cache.insert(TokenText(piece), ids: ids[start...])
  }

  // MARK: - Decoding

  /// The text of tokens. Ids outside the vocabulary are left out.
  public func decode(_ ids: [Int32], skipsSpecialTokens: Bool = true) -> String {
    let tokens = ids.compactMap { id -> [Unicode.Scalar]? in
      guard let token = tokenText(of: id) else { return nil }
      return skipsSpecialTokens && added.isSpecial(token) ? nil : Array(token.scalars)
    }
    guard let decoder else {
      return String(scalars: tokens.joined(separator: [" "]))
    }
    return String(scalars: decoder.decode(tokens).joined())
  }
}
