/// The fixed layouts of BERT, `[CLS] A [SEP] B [SEP]`, and RoBERTa, `<s> A </s></s> B </s>` with all
/// type ids 0.
struct PairProcessing: PostProcessor {
  private let classID: Int32
  private let separatorID: Int32
  private let isRoberta: Bool

  init(_ settings: ComponentSettings, isRoberta: Bool) throws(TokenizerError) {
    func id(_ key: String) throws(TokenizerError) -> Int32 {
      let pair = try settings.array(key)
      guard pair.count == 2, let id = pair[1].int, let id = Int32(exactly: id) else {
        throw settings.invalid(key)
      }
      return id
    }
    classID = try id("cls")
    separatorID = try id("sep")
    self.isRoberta = isRoberta
  }

  func addedTokens(isPair: Bool) -> Int { isPair ? (isRoberta ? 4 : 3) : 2 }

  func process(_ encodings: [Encoding], addsSpecialTokens: Bool) -> [Encoding] {
    encodings.enumerated().map { index, encoding in
      var encoding = encoding
      if isRoberta { encoding.setTypeID(0) }
      guard addsSpecialTokens else { return encoding }
      let typeID: Int32 = index == 0 || isRoberta ? 0 : 1
      let separator = Encoding(ids: [separatorID], typeID: typeID, isSpecial: true)
      var result = Encoding()
      if index == 0 {
        result.append(Encoding(ids: [classID], isSpecial: true))
      } else if isRoberta {
        result.append(separator)
      }
      result.append(encoding)
      result.append(separator)
      return result
    }
  }
}
