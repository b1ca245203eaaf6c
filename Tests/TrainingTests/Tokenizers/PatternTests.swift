import Testing

@testable import Training

@Suite struct PatternTests {
  private func matches(_ pattern: String, _ text: String) throws -> [String] {
    let scalars = Array(text.unicodeScalars)
    return try Pattern(pattern).matches(in: scalars[...]).map { String(scalars: scalars[$0]) }
  }

  /// Matches as Oniguruma 6.9 finds them.
  @Test(
    arguments: [
      ("a|ab", "ab", ["a"]),
      ("(?:a|ab)c", "abc", ["abc"]),
      ("a+?b", "aaab", ["aaab"]),
      ("a+?", "aaa", ["a", "a", "a"]),
      ("a{2}", "aaaaa", ["aa", "aa"]),
      ("a{2,3}?", "aaaaa", ["aa", "aa"]),
      ("a{,2}b", "aaab", ["aab"]),
      ("a{2}+", "aaaaa", ["aaaa"]),
      ("^", "a\n", [""]),
      ("$", "a\n", ["", ""]),
      (#"\Z"#, "a\n", ["", ""]),
      ("a++ab", "aaab", []),
      ("(?>a+)b", "aaab", ["aaab"]),
      ("(?:ab)++c", "ababc", ["ababc"]),
      ("(?:ab)*a", "ababa", ["ababa"]),
      ("(?:ab){1,2}", "ababab", ["abab", "ab"]),
      ("(?:ab){1,2}?", "ababab", ["ab", "ab", "ab"]),
      (#"\s+(?!\S)|\s+"#, "a   b  ", ["  ", " ", "  "]),
      (#"(?<=a)b"#, "abcb", ["b"]),
      (#"(?<!a)b"#, "abcb", ["b"]),
      ("^b", "a\nb", ["b"]),
      ("b$", "b\nb", ["b", "b"]),
      (#"\Ab|b\z"#, "bab", ["b", "b"]),
      (".", "a\n", ["a"]),
      ("(?m:.)", "a\n", ["a", "\n"]),
      ("x*", "axb", ["", "x", ""]),
      ("[a-c&&[^b]]", "abc", ["a", "c"]),
      (#"[^\W\d]"#, "a1_ ", ["a", "_"]),
      (#"[\w.-]+"#, "a.- b", ["a.-", "b"]),
      ("[]a]+", "a]b", ["a]"]),
      (#"[^(\s|[.,])]+"#, "ab|c (d.e", ["ab", "c", "d", "e"]),
      (#"\x41\u0042\x{1F600}"#, "AB😀", ["AB😀"]),
      (#"\p{^L}"#, "a1", ["1"]),
      (#"\P{L}+"#, "a1 b", ["1 "]),
      (#"\h+"#, "xafg", ["af"]),
      ("(?i:'ll)|(?i)K", "'lL'LLk\u{212A}", ["'lL", "'LL", "k", "\u{212A}"]),
      ("(?i:É)", "éÉe", ["é", "É"]),
      (#"\bfoo\b"#, "foo food foo", ["foo", "foo"]),
      ("e", "e\u{301}", ["e"]),
      ("\r", "\r\n", ["\r"]),
    ] as [(String, String, [String])])
  func findsWhatOnigurumaFinds(pattern: String, text: String, wanted: [String]) throws {
    let found = try matches(pattern, text)
    #expect(found.elementsEqual(wanted) { $0.utf8.elementsEqual($1.utf8) }, "\(found)")
  }

  @Test(arguments: [
    "(", ")", "a**b(", "[a", #"\1"#, #"(?<n>a)"#, #"(?<=a+)b"#, "(?:a*)*", "*", "a{", #"\p{Foo}"#,
  ])
  func refusesWhatItDoesNotImplement(pattern: String) {
    #expect(throws: TokenizerError.self) { try Pattern(pattern) }
  }

  @Test func patternsWithoutMeasureAreRefused() {
    for pattern in [
      String(repeating: "(", count: 1000) + String(repeating: ")", count: 1000),
      String(repeating: "[", count: 1000) + String(repeating: "]", count: 1000),
      "(?:(?:(?:ab){1000}){1000}){1000}", "a" + String(repeating: "?", count: 1000),
    ] {
      #expect(throws: TokenizerError.self) { try Pattern(pattern) }
    }
  }

  @Test func deepBacktrackingEnds() throws {
    #expect(try matches("(?:a|b)*c", String(repeating: "ab", count: 200)) == [])
  }
}
