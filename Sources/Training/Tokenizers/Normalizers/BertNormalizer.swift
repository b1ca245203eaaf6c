/// BERT's cleaning: control characters out, white space to spaces, spaces around Chinese ideographs,
/// accents off, lower case.
struct BertNormalizer: Normalizer {
  let cleansText: Bool
  let separatesChinese: Bool
  let stripsAccents: Bool
  let lowercases: Bool

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    cleansText = try settings.bool("clean_text")
    separatesChinese = try settings.bool("handle_chinese_chars")
    lowercases = try settings.bool("lowercase")
    stripsAccents = try settings.bool("strip_accents", default: lowercases)
  }

  func normalize(_ text: inout NormalizedText) {
    if cleansText {
      text.removeAll { $0.value == 0 || $0.value == 0xFFFD || $0.isBertControl }
      for i in text.scalars.indices where text.scalars[i].isWhitespace { text.scalars[i] = " " }
    }
    if separatesChinese, text.scalars.contains(where: Self.isChinese) {
      var spaced: [Unicode.Scalar] = []
      for scalar in text.scalars {
        if Self.isChinese(scalar) {
          spaced.append(contentsOf: [" ", scalar, " "])
        } else {
          spaced.append(scalar)
        }
      }
      text.scalars = spaced
    }
    if stripsAccents {
      text.scalars = NormalizationForm.nfd.normalize(text.scalars)
      text.removeAll(where: \.isNonspacingMark)
    }
    if lowercases { LowercaseNormalizer().normalize(&text) }
  }

  /// The blocks of CJK ideographs that BERT's reference names (one starts at U+2B920 there).
  private static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
      0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}
