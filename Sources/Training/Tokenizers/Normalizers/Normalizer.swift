import Safetensors

/// The text under normalization.
struct NormalizedText {
  var scalars: [Unicode.Scalar]
  /// Whether the first scalar still stands for the first of the caller's text: what
  /// `Metaspace(prepend_scheme: first)` asks.
  var startsText: Bool

  /// Removes the scalars of which `isRemoved` holds.
  mutating func removeAll(where isRemoved: (Unicode.Scalar) -> Bool) {
    if let first = scalars.first, isRemoved(first) { startsText = false }
    scalars.removeAll(where: isRemoved)
  }
}

/// The first step of encoding: rewrites the text.
protocol Normalizer: Sendable {
  func normalize(_ text: inout NormalizedText)
}

/// Reads the `normalizer` of a tokenizer.
func readNormalizer(_ value: JSONValue) throws(TokenizerError) -> any Normalizer {
  let settings = try ComponentSettings(value, role: "normalizer")
  switch settings.component {
  case "BertNormalizer", "Bert": return try BertNormalizer(settings)
  case "Strip", "StripNormalizer": return try StripNormalizer(settings)
  case "StripAccents": return StripAccentsNormalizer()
  case "NFC", "NFD", "NFKC", "NFKD":
    guard let form = NormalizationForm(rawValue: settings.component) else { break }
    return UnicodeNormalizer(form: form)
  case "Lowercase": return LowercaseNormalizer()
  case "Nmt": return NmtNormalizer()
  case "Precompiled": return try PrecompiledNormalizer(settings)
  case "Replace": return try Replacement(settings)
  case "Prepend":
    return PrependNormalizer(prefix: Array(try settings.string("prepend").unicodeScalars))
  case "ByteLevel": return ByteLevelNormalizer()
  case "Sequence":
    var parts: [any Normalizer] = []
    for value in try settings.array("normalizers") { parts.append(try readNormalizer(value)) }
    return NormalizerSequence(parts: parts)
  default: break
  }
  throw TokenizerError.unsupported(component: "normalizer", feature: settings.component)
}

struct NormalizerSequence: Normalizer {
  let parts: [any Normalizer]

  func normalize(_ text: inout NormalizedText) {
    for part in parts { part.normalize(&text) }
  }
}
