import Safetensors

/// Turns a record of the data into an example.
///
/// For a language model, a record has one of
/// - `messages`, a list of objects with `role` and `content`, and perhaps `tools`: rendered by the chat
///   template, with the loss on what the assistant says (see ``ConversationEncoder``);
/// - `prompt` and `completion`: the loss is on the completion only;
/// - `text`: the loss is on all of it.
///
/// For a classifier it has `text`, perhaps `text_pair`, and `label`, a number or a label's name.
public struct RecordEncoder: Sendable {
  public enum Task: Equatable, Sendable {
    case causalLanguageModel
    /// `labels` are the names of the classes in order of their ids.
    case classification(labels: [String])
  }

  public let tokenizer: PretrainedTokenizer
  public let task: Task
  /// Longer examples lose their end. Nil: no limit.
  public let maximumLength: Int?
  /// Whether `text` and `completion` end with the end-of-text token, which ends what the model writes.
  public let appendsEndOfText: Bool
  /// What the chat template's `strftime_now` answers with.
  public let date: ChatTemplate.Date?

  public init(
    tokenizer: PretrainedTokenizer, task: Task, maximumLength: Int?,
    appendsEndOfText: Bool = true, date: ChatTemplate.Date? = nil
  ) {
    var tokenizer = tokenizer
    // Cutting and padding are done here and in `Batch`.
    tokenizer.tokenizer.padding = nil
    tokenizer.tokenizer.truncation = nil
    if case .classification = task {
      tokenizer.tokenizer.truncation = maximumLength.map { Truncation(maximumLength: $0) }
    }
    self.tokenizer = tokenizer
    self.task = task
    self.maximumLength = maximumLength
    self.appendsEndOfText = appendsEndOfText
    self.date = date
  }

  /// Encodes a record in JSON.
  public func encode(_ json: [UInt8]) throws(RecordError) -> Example {
    let record: JSONValue
    do throws(JSONError) {
      record = try JSONValue.parse(json)
    } catch {
      throw RecordError.json(error)
    }
    return try encode(record)
  }

  public func encode(_ record: JSONValue) throws(RecordError) -> Example {
    guard let object = record.object else { throw RecordError.notAnObject }
    var example: Example
    switch task {
    case .classification(let labels): example = try encodeClass(object, labels: labels)
    case .causalLanguageModel: example = try encodeText(object)
    }
    if let maximumLength { example = example.truncated(to: maximumLength) }
    if example.ids.isEmpty { throw RecordError.noTokens }
    return example
  }

  // MARK: - Language models

  private func encodeText(_ record: JSONObject) throws(RecordError) -> Example {
    if let messages = record["messages"] {
      return try encodeConversation(messages, key: "messages", tools: record["tools"])
    }
    if let prompt = record["prompt"] {
      guard let completion = record["completion"] else {
        throw RecordError.missing(key: "completion")
      }
      guard prompt.array == nil else {
        return try encodeConversation(
          prompt, key: "prompt", completion: completion, tools: record["tools"])
      }
      guard let prompt = prompt.string else { throw RecordError.wrongType(key: "prompt") }
      guard let completion = completion.string else {
        throw RecordError.wrongType(key: "completion")
      }
      let ids = try completed(prompt + completion)
      let start = commonPrefixLength(try encoding(prompt).ids, ids)
      return Example(ids: ids, labels: labels(of: ids, in: [start..<ids.count]))
    }
    guard let text = record["text"] else { throw RecordError.noKnownKeys }
    guard let text = text.string else { throw RecordError.wrongType(key: "text") }
    let ids = try completed(text)
    return Example(ids: ids, labels: ids)
  }

  private func encodeConversation(
    _ messages: JSONValue, key: String, completion: JSONValue? = nil, tools: JSONValue?
  ) throws(RecordError) -> Example {
    guard var messages = messages.array else { throw RecordError.wrongType(key: key) }
    guard let template = tokenizer.chatTemplate else { throw RecordError.noChatTemplate }
    let encoder = ConversationEncoder(
      tokenizer: tokenizer, template: template, tools: tools ?? .null, date: date)
    let promptCount = completion == nil ? nil : messages.count
    if let completion {
      guard let answers = completion.array else { throw RecordError.wrongType(key: "completion") }
      messages += answers
    }
    let (ids, spans) = try encoder.encode(messages, promptCount: promptCount)
    return Example(ids: ids, labels: labels(of: ids, in: spans))
  }

  /// The text's ids, ended by the end-of-text token where that is wanted and known.
  private func completed(_ text: String) throws(RecordError) -> [Int32] {
    var ids = try encoding(text).ids
    if appendsEndOfText, let end = tokenizer.endOfTextID, ids.last != end { ids.append(end) }
    return ids
  }

  private func labels(of ids: [Int32], in spans: [Range<Int>]) -> [Int32] {
    var labels = [Int32](repeating: Example.ignoredLabel, count: ids.count)
    for span in spans { labels.replaceSubrange(span, with: ids[span]) }
    return labels
  }

  // MARK: - Classifiers

  private func encodeClass(
    _ record: JSONObject, labels: [String]
  ) throws(RecordError) -> Example {
    guard let text = record["text"] else { throw RecordError.missing(key: "text") }
    guard let text = text.string else { throw RecordError.wrongType(key: "text") }
    let pair = record["text_pair"]
    guard pair == nil || pair?.isNull == true || pair?.string != nil else {
      throw RecordError.wrongType(key: "text_pair")
    }
    let label: Int32
    switch record["label"] {
    case nil: throw RecordError.missing(key: "label")
    case .string(let name)?:
      guard let index = labels.firstIndex(where: { $0.utf8.elementsEqual(name.utf8) }) else {
        throw RecordError.unknownLabel(name)
      }
      label = Int32(index)
    case .number(let number)?:
      guard let index = number.int, labels.indices.contains(index) else {
        throw RecordError.unknownLabel(number.lexeme)
      }
      label = Int32(index)
    default: throw RecordError.wrongType(key: "label")
    }
    let encoding = try encoding(text, pair: pair?.string)
    return Example(ids: encoding.ids, typeIDs: encoding.typeIDs, classLabel: label)
  }

  private func encoding(_ text: String, pair: String? = nil) throws(RecordError) -> Encoding {
    do throws(TokenizerError) {
      return try tokenizer.tokenizer.encode(text, pair: pair)
    } catch {
      throw RecordError.tokenizer(error)
    }
  }
}

/// How many elements two sequences share from the start.
func commonPrefixLength<Elements: Sequence>(_ a: Elements, _ b: Elements) -> Int
where Elements.Element: Equatable {
  zip(a, b).prefix { $0 == $1 }.count
}
