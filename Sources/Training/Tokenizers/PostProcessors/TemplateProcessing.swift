import Safetensors

/// A layout written as a template: `[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1`.
struct TemplateProcessing: PostProcessor {
  private enum Part {
    case sequence(index: Int, typeID: Int32)
    case special(ids: [Int32], typeID: Int32)
  }

  private let single: [Part]
  private let pair: [Part]

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    single = try Self.parts("single", settings)
    pair = try Self.parts("pair", settings)
  }

  private static func parts(
    _ key: String, _ settings: ComponentSettings
  ) throws(TokenizerError) -> [Part] {
    var parts: [Part] = []
    for value in try settings.array(key) {
      if let fields = value["Sequence"], let id = fields["id"]?.string,
        let typeID = fields["type_id"]?.int, let typeID = Int32(exactly: typeID)
      {
        // A single text has no second sequence.
        guard id == "A" || (id == "B" && key == "pair") else { throw settings.invalid(key) }
        parts.append(.sequence(index: id == "A" ? 0 : 1, typeID: typeID))
      } else if let fields = value["SpecialToken"], let id = fields["id"]?.string,
        let typeID = fields["type_id"]?.int, let typeID = Int32(exactly: typeID)
      {
        let ids = settings["special_tokens"]?[id]?["ids"]?.array?.compactMap { value in
          value.int.flatMap { Int32(exactly: $0) }
        }
        guard let ids, !ids.isEmpty else { throw settings.invalid("special_tokens") }
        parts.append(.special(ids: ids, typeID: typeID))
      } else {
        throw settings.invalid(key)
      }
    }
    return parts
  }

  func addedTokens(isPair: Bool) -> Int {
    (isPair ? pair : single).reduce(0) { sum, part in
      if case .special(let ids, _) = part { sum + ids.count } else { sum }
    }
  }

  func process(_ encodings: [Encoding], addsSpecialTokens: Bool) -> [Encoding] {
    (encodings.count == 2 ? pair : single).compactMap { part in
      switch part {
      case .sequence(let index, let typeID):
        var encoding = encodings[index]
        encoding.setTypeID(typeID)
        return encoding
      case .special(let ids, let typeID):
        return addsSpecialTokens ? Encoding(ids: ids, typeID: typeID, isSpecial: true) : nil
      }
    }
  }
}
