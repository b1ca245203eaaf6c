import Safetensors
import Testing

@testable import Training

@Suite struct RecordEncoderTests {
  private func encoder(
    template: String? = nil, maximumLength: Int? = nil, appendsEndOfText: Bool = true
  ) throws -> RecordEncoder {
    RecordEncoder(
      tokenizer: try pretrainedTokenizer(template: template), task: .causalLanguageModel,
      maximumLength: maximumLength, appendsEndOfText: appendsEndOfText)
  }

  /// The text of the tokens that have a loss.
  private func learned(_ example: Example, _ encoder: RecordEncoder) -> String {
    encoder.tokenizer.tokenizer.decode(
      example.labels.filter { $0 != Example.ignoredLabel }, skipsSpecialTokens: false)
  }

  @Test func textHasItsLossOnAllOfIt() throws {
    let encoder = try encoder()
    let example = try encoder.encode(["text": "The quick brown fox"])
    #expect(example.labels == example.ids)
    #expect(example.ids.first == encoder.tokenizer.tokenizer.id(of: "<|begin_of_text|>"))
    #expect(example.ids.last == encoder.tokenizer.endOfTextID)
    #expect(example.ids.count { $0 == encoder.tokenizer.endOfTextID } == 1)
    let open = try self.encoder(appendsEndOfText: false).encode(["text": "The quick brown fox"])
    #expect(open.ids == Array(example.ids.dropLast()))
    let short = try self.encoder(maximumLength: 4).encode(["text": "The quick brown fox"])
    #expect(short.ids == Array(example.ids.prefix(4)))
    #expect(short.labels == short.ids)
  }

  @Test func completionsHaveTheLoss() throws {
    let encoder = try encoder()
    let example = try encoder.encode(["prompt": "The quick", "completion": " brown fox"])
    #expect(learned(example, encoder) == " brown fox<|endoftext|>")
    let whole = try encoder.encode(["text": "The quick brown fox"])
    #expect(example.ids == whole.ids)
    // A word that begins in the prompt and ends in the completion is one token: it is learned.
    let cut = try encoder.encode(["prompt": "It is t", "completion": "oday"])
    #expect(encoder.tokenizer.tokenizer.id(of: "Ġtoday") != nil)
    #expect(learned(cut, encoder) == " today<|endoftext|>")
  }

  static let conversation: JSONValue = [
    ["role": "system", "content": "Be kind."], ["role": "user", "content": "Hi"],
    ["role": "assistant", "content": "Hello you"], ["role": "user", "content": "Bye"],
    ["role": "assistant", "content": "So long"],
  ]

  @Test(arguments: [
    ("chatml", ["Hello you<|im_end|>\n", "So long<|im_end|>\n"]),
    ("generation", ["Hello you<|end|>", "So long<|end|>"]),
    ("phi3", ["Hello you<|end|>\n<", "So long<|end|>\n<|endoftext|>"]),
    ("llama3", ["Hello you<|eot_id|>", "So long<|eot_id|>"]),
    ("zephyr", ["Hello you<|endoftext|>", "So long<|endoftext|>"]),
  ])
  func assistantTurnsHaveTheLoss(template: String, wanted: [String]) throws {
    let encoder = try encoder(template: template)
    let example = try encoder.encode(["messages": Self.conversation])
    let text = learned(example, encoder)
    // A turn ends with the markup that its end and the next turn's start share.
    let isTold = wanted.allSatisfy {
      text.contains($0.trimmed(left: false, right: true, of: "\n<"))
    }
    #expect(isTold, "\(text.debugDescription)")
    #expect(!text.contains("Hi") && !text.contains("Bye") && !text.contains("Be kind"))
    #expect(example.labels.count == example.ids.count)
  }

  /// Qwen 3 writes `<think>` into the last turn only: what an earlier turn ends with cannot be told.
  @Test func turnsThatChangeWithWhatFollowsHaveTheLossOnAll() throws {
    let encoder = try encoder(template: "qwen3")
    let example = try encoder.encode(["messages": Self.conversation])
    #expect(example.labels == example.ids)
    let single = try encoder.encode([
      "messages": [["role": "user", "content": "Hi"], ["role": "assistant", "content": "Hello"]]
    ])
    #expect(learned(single, encoder) == "<think>\n\n</think>\n\nHello<|im_end|>\n")
  }

  @Test func promptsMayBeConversations() throws {
    let encoder = try encoder(template: "chatml")
    let example = try encoder.encode([
      "prompt": [
        ["role": "user", "content": "Hi"], ["role": "assistant", "content": "Hello"],
        ["role": "user", "content": "Bye"],
      ],
      "completion": [["role": "assistant", "content": "So long"]],
    ])
    #expect(learned(example, encoder) == "So long<|im_end|>\n")
  }

  @Test func classesByNumberAndName() throws {
    let encoder = RecordEncoder(
      tokenizer: PretrainedTokenizer(tokenizer: try TokenizerFixtures.tokenizer("bert")),
      task: .classification(labels: ["no", "yes"]), maximumLength: 8)
    let example = try encoder.encode([
      "text": "the quick fox", "text_pair": "jumps over", "label": 1,
    ])
    #expect(example.ids.count == 8)
    #expect(example.ids.first == 2 && example.ids.last == 3)
    #expect(example.typeIDs.last == 1)
    #expect(example.classLabel == 1 && example.labels.isEmpty)
    #expect(try encoder.encode(["text": "the", "label": "no"]).classLabel == 0)
    let cases: [(JSONValue, RecordError)] = [
      (["text": "a", "label": 2], .unknownLabel("2")),
      (["text": "a", "label": "maybe"], .unknownLabel("maybe")),
      (["text": "a", "label": 0.5], .unknownLabel("0.5")),
      (["text": "a"], .missing(key: "label")), (["label": 1], .missing(key: "text")),
      (["text": "a", "label": [1]], .wrongType(key: "label")),
      (["text": "a", "text_pair": 1, "label": 1], .wrongType(key: "text_pair")),
    ]
    for (record, error) in cases {
      #expect(throws: error, "\(record)") { try encoder.encode(record) }
    }
  }

  @Test func recordsThatAreNoExamples() throws {
    let encoder = try encoder(template: "gemma")
    let cases: [(JSONValue, RecordError)] = [
      ([1], .notAnObject), (["body": "x"], .noKnownKeys), (["text": 1], .wrongType(key: "text")),
      (["prompt": "x"], .missing(key: "completion")),
      (["prompt": "x", "completion": 1], .wrongType(key: "completion")),
      (["messages": "x"], .wrongType(key: "messages")),
      (
        ["messages": [["role": "assistant", "content": "x"]]],
        .template(
          .raised(
            line: 1, message: "Conversation roles must alternate user/assistant/user/assistant/...")
        )
      ),
    ]
    for (record, error) in cases {
      #expect(throws: error, "\(record)") { try encoder.encode(record) }
    }
    #expect(throws: RecordError.noChatTemplate) { try self.encoder().encode(["messages": []]) }
    let bare = RecordEncoder(
      tokenizer: PretrainedTokenizer(tokenizer: try TokenizerFixtures.tokenizer("gpt2")),
      task: .causalLanguageModel, maximumLength: nil)
    #expect(throws: RecordError.noTokens) { try bare.encode(["text": ""]) }
  }
}
