/// NFC, NFD, NFKC, NFKD.
struct UnicodeNormalizer: Normalizer {
  let form: NormalizationForm

  func normalize(_ text: inout NormalizedText) {
    text.scalars = form.normalize(text.scalars)
  }
}

/// Lower case, scalar by scalar (Unicode 17, full mapping, no context).
struct LowercaseNormalizer: Normalizer {
  func normalize(_ text: inout NormalizedText) {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.scalars.count)
    for scalar in text.scalars {
      if scalar.value < 0x80 {
        let isUpper = (0x41...0x5A).contains(scalar.value)
        result.append(isUpper ? Unicode.Scalar(UInt8(scalar.value) + 0x20) : scalar)
      } else {
        result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
      }
    }
    text.scalars = result
  }
}

/// Removes white space at the ends.
struct StripNormalizer: Normalizer {
  let stripsLeft: Bool
  let stripsRight: Bool

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    stripsLeft = try settings.bool("strip_left")
    stripsRight = try settings.bool("strip_right")
  }

  func normalize(_ text: inout NormalizedText) {
    var rest = text.scalars[...]
    if stripsLeft { rest = rest.drop(while: \.isWhitespace) }
    if rest.startIndex > 0 { text.startsText = false }
    if stripsRight {
      while let last = rest.last, last.isWhitespace { rest.removeLast() }
    }
    text.scalars = Array(rest)
  }
}

/// Removes combining marks; the text is expected to be decomposed.
struct StripAccentsNormalizer: Normalizer {
  func normalize(_ text: inout NormalizedText) {
    text.removeAll(where: \.isCombiningMark)
  }
}

/// Puts a prefix before any text that is not empty.
struct PrependNormalizer: Normalizer {
  let prefix: [Unicode.Scalar]

  func normalize(_ text: inout NormalizedText) {
    if !text.scalars.isEmpty { text.scalars.insert(contentsOf: prefix, at: 0) }
  }
}

/// Control characters and unusual spaces as SentencePiece's `nmt` rules treat them.
struct NmtNormalizer: Normalizer {
  func normalize(_ text: inout NormalizedText) {
    text.removeAll { scalar in
      switch scalar.value {
      case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: true
      default: false
      }
    }
    for i in text.scalars.indices {
      switch text.scalars[i].value {
      case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
        text.scalars[i] = " "
      default: break
      }
    }
  }
}

/// The UTF-8 bytes of the text as printable scalars.
struct ByteLevelNormalizer: Normalizer {
  func normalize(_ text: inout NormalizedText) {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.scalars.count)
    for scalar in text.scalars { ByteAlphabet.append(scalar, to: &result) }
    text.scalars = result
  }
}
