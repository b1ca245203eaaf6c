import Safetensors

/// Turns tokens back into text.
protocol Decoder: Sendable {
  /// - Returns: texts that are joined, or given to the next decoder.
  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]]
}

/// Reads the `decoder` of a tokenizer.
func readDecoder(_ value: JSONValue) throws(TokenizerError) -> any Decoder {
  let settings = try ComponentSettings(value, role: "decoder")
  switch settings.component {
  case "ByteLevel": return ByteLevelDecoder()
  case "WordPiece":
    return WordPieceDecoder(
      prefix: Array(try settings.string("prefix").unicodeScalars),
      cleansUp: try settings.bool("cleanup"))
  case "Metaspace": return try Metaspace(settings)
  case "BPEDecoder":
    return SuffixDecoder(suffix: Pattern(literal: try settings.string("suffix")))
  case "ByteFallback": return ByteFallbackDecoder()
  case "Fuse": return FuseDecoder()
  case "Strip":
    return StripDecoder(
      content: try settings.scalar("content"), start: try settings.count("start"),
      stop: try settings.count("stop"))
  case "Replace": return try Replacement(settings)
  case "Sequence":
    var parts: [any Decoder] = []
    for value in try settings.array("decoders") { parts.append(try readDecoder(value)) }
    return DecoderSequence(parts: parts)
  default:
    throw TokenizerError.unsupported(component: "decoder", feature: settings.component)
  }
}

struct DecoderSequence: Decoder {
  let parts: [any Decoder]

  func decode(_ tokens: [[Unicode.Scalar]]) -> [[Unicode.Scalar]] {
    parts.reduce(tokens) { $1.decode($0) }
  }
}
