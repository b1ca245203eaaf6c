import Safetensors

/// Replaces what a pattern matches; a normalizer and a decoder.
struct Replacement: Normalizer, Decoder {
  let pattern: Pattern
  let content: [Unicode.Scalar]

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    pattern = try Pattern(settings)
    content = Array(try settings.string("content").unicodeScalars)
  }

  func normalize(_ text: inout NormalizedText) {
    if let first = pattern.matches(in: text.scalars[...]).first, first.lowerBound == 0,
      content.isEmpty ? !first.isEmpty : first.count != 1
    {
      text.startsText = false
    }
    text.scalars = pattern.replacing(in: text.scalars, with: content)
  }

  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    tokens.map { pattern.replacing(in: $0, with: content) }
  }
}

extension Pattern {
  /// `text` with `replacement` for each match.
  func replacing(
    in text: [Unicode.Scalar], with replacement: [Unicode.Scalar]
  ) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    for span in spans(in: text[...]) {
      result.append(contentsOf: span.isDelimiter ? replacement[...] : text[span.range])
    }
    return result
  }

  /// The `pattern` of a component: `{"String": …}` or `{"Regex": …}`.
  init(_ settings: ComponentSettings) throws(TokenizerError) {
    let value = try settings.required("pattern")
    if let text = value["String"]?.string {
      self.init(literal: text)
    } else if let pattern = value["Regex"]?.string {
      try self.init(pattern)
    } else {
      throw settings.invalid("pattern")
    }
  }
}
