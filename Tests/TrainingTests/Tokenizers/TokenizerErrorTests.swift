import Safetensors
import Testing

@testable import Training

@Suite struct TokenizerErrorTests {
  private func tokenizer(_ parts: [(String, JSONValue)]) throws -> Tokenizer {
    var object: JSONObject = [
      "version": "1.0",
      "model": ["type": "WordLevel", "vocab": ["a": 0], "unk_token": "<unk>"],
    ]
    for (key, value) in parts { object[key] = value }
    return try Tokenizer(.object(object))
  }

  @Test func unsupportedComponentsAreNamed() {
    let cases: [(String, JSONValue, TokenizerError)] = [
      (
        "pre_tokenizer", ["type": "UnicodeScripts"],
        .unsupported(component: "pre_tokenizer", feature: "UnicodeScripts")
      ),
      (
        "normalizer", ["type": "Sequence", "normalizers": [["type": "Odd"]]],
        .unsupported(component: "normalizer", feature: "Odd")
      ),
      ("decoder", ["type": "CTC"], .unsupported(component: "decoder", feature: "CTC")),
      ("post_processor", ["kind": 1], .missing(component: "post_processor", key: "type")),
      ("model", ["type": "Neural"], .unsupported(component: "model", feature: "Neural")),
      (
        "model", ["type": "BPE", "dropout": 0.1, "vocab": [:], "merges": []],
        .unsupported(component: "BPE", feature: "dropout")
      ),
      (
        "model", ["type": "BPE", "vocab": ["a": 0], "merges": ["a b"]],
        .mergeOutOfVocabulary(token: "b")
      ),
      (
        "model", ["type": "WordLevel", "vocab": ["a": -1], "unk_token": "a"],
        .invalid(component: "WordLevel", key: "vocab")
      ),
      ("version", "2.0", .unknownVersion("2.0")),
      (
        "pre_tokenizer",
        [
          "type": "Split", "pattern": ["Regex": #"a(?P<x>b)"#], "behavior": "Isolated",
          "invert": false,
        ],
        .unsupportedPattern("a(?P<x>b)", offset: 3, construct: "(?P")
      ),
      (
        "pre_tokenizer",
        [
          "type": "Split", "pattern": ["Regex": #"\p{Han}"#], "behavior": "Isolated",
          "invert": false,
        ],
        .unsupportedPattern(#"\p{Han}"#, offset: 7, construct: #"\p{Han}"#)
      ),
      (
        "truncation", ["max_length": 3, "strategy": "Shortest", "stride": 0],
        .invalid(component: "truncation", key: "strategy")
      ),
    ]
    for (key, value, error) in cases {
      #expect(throws: error, "\(key)") { try self.tokenizer([(key, value)]) }
    }
  }

  @Test func aMissingUnknownTokenIsAnErrorOnlyWhereItIsNeeded() throws {
    let tokenizer = try tokenizer([])
    #expect(try tokenizer.encode("a").ids == [0])
    #expect(throws: TokenizerError.unknownTokenMissing(model: "WordLevel")) {
      try tokenizer.encode("b")
    }
  }

  @Test func canonicallyEquivalentTokensAreDifferent() throws {
    let tokenizer = try tokenizer([
      (
        "model",
        ["type": "WordLevel", "vocab": ["\u{E9}": 0, "e\u{301}": 1, "?": 2], "unk_token": "?"]
      )
    ])
    #expect(try tokenizer.encode("\u{E9}").ids == [0])
    #expect(try tokenizer.encode("e\u{301}").ids == [1])
    #expect(tokenizer.token(of: 1)?.unicodeScalars.count == 2)
  }

  @Test func modelsWithoutTypeAreTold() throws {
    let merges: JSONValue = ["vocab": ["a": 0, "b": 1, "ab": 2], "merges": [["a", "b"]]]
    #expect(try tokenizer([("model", merges)]).encode("abab").ids == [2, 2])
    let pieces: JSONValue = ["unk_id": 0, "vocab": [["?", 0.0], ["a", -1.0], ["aa", -1.5]]]
    #expect(try tokenizer([("model", pieces)]).encode("aaab").ids == [1, 2, 0])
  }

  @Test func aFileThatIsNotThere() {
    let error = #expect(throws: TokenizerError.self) {
      try Tokenizer(contentsOfFile: "/nowhere/tokenizer.json")
    }
    guard case .file(let fileError)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(fileError.isNotFound)
    #expect(fileError.path == "/nowhere/tokenizer.json")
  }
}
