import Safetensors
import Testing

@testable import Training

/// Small tokenizers in the component stacks of the model families, against what the `tokenizers`
/// library answers on texts of every script, emoji, control characters and malformed UTF-8.
@Suite struct TokenizerFamilyTests {
  static let families = [
    "gpt2", "roberta", "llama3", "qwen2", "o200k", "deepseek", "bloom", "llama2", "mistral",
    "gemma",
    "bert", "bert_cased", "t5", "xlm_roberta", "albert", "clip", "wordlevel",
  ]

  @Test(arguments: families) func idsEqualTheLibrarys(family: String) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(family)
    let expected = try TokenizerFixtures.json("families/\(family).expected.json")
    let corpus = try TokenizerFixtures.corpus()
    let ids = try #require(expected["ids"]?.array)
    #expect(ids.count == corpus.count)
    for (text, ids) in zip(corpus, ids) {
      let wanted = try unpackedIDs(ids)
      let got = try tokenizer.encode(text).ids
      guard got != wanted else { continue }
      let place = zip(got, wanted).prefix { $0 == $1 }.count
      Issue.record(
        "\(family): \(text.debugDescription) at \(place): \(got.dropFirst(place).prefix(4).map { tokenizer.token(of: $0) ?? "?" }) for \(wanted.dropFirst(place).prefix(4).map { tokenizer.token(of: $0) ?? "?" })"
      )
    }
    // A second time: from the cache.
    #expect(try tokenizer.encode(corpus[3]).ids == unpackedIDs(ids[3]))
    for (text, ids) in zip(corpus, try #require(expected["plain_ids"]?.array)) {
      #expect(try tokenizer.encode(text, addsSpecialTokens: false).ids == unpackedIDs(ids))
    }
  }

  @Test(arguments: families) func decodedTextEqualsTheLibrarys(family: String) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(family)
    let expected = try TokenizerFixtures.json("families/\(family).expected.json")
    let corpus = try TokenizerFixtures.corpus()
    let ids = try #require(expected["ids"]?.array)
    for (key, skips) in [("decoded", true), ("decoded_with_special", false)] {
      for (i, value) in try #require(expected[key]?.array).enumerated() {
        let wanted = value.string ?? corpus[i]
        let got = tokenizer.decode(try unpackedIDs(ids[i]), skipsSpecialTokens: skips)
        #expect(got.utf8.elementsEqual(wanted.utf8), "\(family) \(i): \(got) for \(wanted)")
      }
    }
  }

  @Test(arguments: families) func pairsEqualTheLibrarys(family: String) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(family)
    let corpus = try TokenizerFixtures.corpus()
    let expected = try TokenizerFixtures.json("families/\(family).expected.json")
    for (i, value) in try #require(expected["pairs"]?.array).enumerated() {
      let first = corpus[3 + 2 * i]
      let second = corpus[4 + 2 * i]
      guard let parts = value.array else {
        #expect(throws: TokenizerError.truncationImpossible(maximumLength: 30)) {
          try tokenizer.encode(first, pair: second)
        }
        continue
      }
      let encoding = try tokenizer.encode(first, pair: second)
      #expect(encoding.ids == (try unpackedIDs(parts[0])))
      #expect(encoding.typeIDs == (try unpackedIDs(parts[1])))
      #expect(encoding.attentionMask == (try unpackedIDs(parts[2])))
      #expect(encoding.specialTokensMask == (try unpackedIDs(parts[3])))
    }
  }

  @Test func vocabulary() throws {
    let tokenizer = try TokenizerFixtures.tokenizer("bert")
    #expect(tokenizer.id(of: "[CLS]") == 2)
    #expect(tokenizer.token(of: 2) == "[CLS]")
    #expect(tokenizer.id(of: "no such token") == nil)
    #expect(tokenizer.token(of: 1_000_000) == nil)
    #expect(tokenizer.vocabularySize == 900)
    #expect(tokenizer.truncation == Truncation(maximumLength: 24))
    #expect(tokenizer.padding == Padding(multiple: 8, id: 0))
    #expect(tokenizer.addedTokens.map(\.content) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
  }

  @Test func batchesArePaddedToTheLongest() throws {
    var tokenizer = try TokenizerFixtures.tokenizer("bert")
    tokenizer.padding = Padding(direction: .left, id: 0)
    let batch = try tokenizer.encode(batch: ["the quick fox", "the"])
    #expect(batch[0].count == batch[1].count)
    #expect(batch[1].attentionMask.first == 0)
    #expect(batch[1].attentionMask.last == 1)
  }
}
