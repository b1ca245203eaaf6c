import Safetensors

/// The last step of encoding: puts special tokens around one sequence or a pair.
protocol PostProcessor: Sendable {
  /// How many tokens are added.
  func addedTokens(isPair: Bool) -> Int

  /// - Returns: encodings that are joined in order.
  func process(_ encodings: [Encoding], addsSpecialTokens: Bool) -> [Encoding]
}

/// Reads the `post_processor` of a tokenizer.
func readPostProcessor(_ value: JSONValue) throws(TokenizerError) -> any PostProcessor {
  let settings = try ComponentSettings(value, role: "post_processor")
  switch settings.component {
  case "TemplateProcessing": return try TemplateProcessing(settings)
  case "BertProcessing": return try PairProcessing(settings, isRoberta: false)
  case "RobertaProcessing": return try PairProcessing(settings, isRoberta: true)
  case "ByteLevel": return ByteLevelPostProcessor()
  case "Sequence":
    var parts: [any PostProcessor] = []
    for value in try settings.array("processors") { parts.append(try readPostProcessor(value)) }
    return PostProcessorSequence(parts: parts)
  default:
    throw TokenizerError.unsupported(component: "post_processor", feature: settings.component)
  }
}

struct PostProcessorSequence: PostProcessor {
  let parts: [any PostProcessor]

  func addedTokens(isPair: Bool) -> Int {
    parts.reduce(0) { $0 + $1.addedTokens(isPair: isPair) }
  }

  func process(_ encodings: [Encoding], addsSpecialTokens: Bool) -> [Encoding] {
    parts.reduce(encodings) { $1.process($0, addsSpecialTokens: addsSpecialTokens) }
  }
}

/// Changes offsets only, which an ``Encoding`` does not have.
struct ByteLevelPostProcessor: PostProcessor {
  func addedTokens(isPair: Bool) -> Int { 0 }
  func process(_ encodings: [Encoding], addsSpecialTokens: Bool) -> [Encoding] { encodings }
}
