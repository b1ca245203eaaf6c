/// A pattern of `llm_int8_skip_modules`: the rule of transformers 5.
struct SkipPattern {
  private let text: String
  private let regex: Regex<AnyRegexOutput>

  /// Nil when the pattern is no regular expression.
  init?(_ text: String) {
    guard !text.isEmpty, let regex = try? Regex(text) else { return nil }
    (self.text, self.regex) = (text, regex)
  }

  /// Whether the pattern matches `module` from its start up to a boundary between segments, or is the
  /// end of its name.
  func matches(_ module: String) -> Bool {
    if module.hasSuffix(text) { return true }
    return module.indices.dropFirst().contains { index in
      (module[index] == "." || module[module.index(before: index)] == ".")
        && (try? regex.wholeMatch(in: module[..<index])) != nil
    } || (try? regex.wholeMatch(in: module)) != nil
  }
}
