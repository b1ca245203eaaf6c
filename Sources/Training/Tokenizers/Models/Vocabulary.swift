import Safetensors

/// Tokens and their ids. A token is known by its Unicode scalars, not by canonical equivalence.
struct Vocabulary: Sendable {
  private var ids: [TokenText: Int32] = [:]
  private var tokens: [Int32: TokenText] = [:]

  var count: Int { ids.count }

  init() {}

  /// The object `vocab` of BPE, WordPiece and WordLevel: token → id.
  init(_ settings: ComponentSettings) throws(TokenizerError) {
    guard let object = try settings.required("vocab").object else {
      throw settings.invalid("vocab")
    }
    ids.reserveCapacity(object.count)
    tokens.reserveCapacity(object.count)
    for entry in object.entries {
      guard let id = entry.value.int, let id = Int32(exactly: id), id >= 0 else {
        throw settings.invalid("vocab")
      }
      insert(TokenText(entry.key), id: id)
    }
  }

  /// Adds a token; one that exists gets the new id.
  mutating func insert(_ token: TokenText, id: Int32) {
    ids[token] = id
    tokens[id] = token
  }

  func id(of token: TokenText) -> Int32? { ids[token] }
  func id(of token: String) -> Int32? { ids[TokenText(token)] }
  func token(of id: Int32) -> TokenText? { tokens[id] }

  /// The ids of the tokens `<0x00>` … `<0xFF>`; nil for those that do not exist.
  var byteTokens: [Int32?] {
    (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return id(of: "<0x" + (byte < 16 ? "0" : "") + digits + ">")
    }
  }

  /// Every token with its id, in no order.
  var entries: some Sequence<(key: TokenText, value: Int32)> { ids }
}
