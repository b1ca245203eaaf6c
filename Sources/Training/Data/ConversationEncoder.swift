import Safetensors

/// Renders a conversation and finds what the assistant says in it.
///
/// The loss is on
/// - what the template marks by `{% generation %}`, if it marks anything; else
/// - from where an assistant's turn would be asked for (the messages before it, with the generation
///   prompt) to where it ends (the messages up to it, as far as what follows does not matter). The last
///   turn ends with the text.
///
/// Some templates render earlier turns otherwise when more follow, so that these texts do not begin
/// the whole one; then the loss is on the whole text. A boundary inside a token leaves the token to
/// the part after it.
struct ConversationEncoder {
  let tokenizer: PretrainedTokenizer
  let template: ChatTemplate
  let tools: JSONValue
  let date: ChatTemplate.Date?

  /// - Parameter promptCount: how many messages are the prompt, on which there is no loss whoever
  ///   speaks; nil: the loss is on all that the assistant says.
  /// - Returns: the ids and the ranges of them that have a loss.
  func encode(
    _ messages: [JSONValue], promptCount: Int? = nil
  ) throws(RecordError) -> (ids: [Int32], spans: [Range<Int>]) {
    let whole: ChatTemplate.Rendering
    do throws(TemplateError) {
      whole = try render(messages)
    } catch {
      throw RecordError.template(error)
    }
    let ids = try ids(of: whole.text)
    let text = Array(whole.text.utf8)
    var parts: [Range<Int>]?
    if let promptCount {
      // A template that refuses a part of the conversation tells nothing.
      parts = (try? start(of: promptCount, in: messages, text)).flatMap { $0 }.map {
        [$0..<text.count]
      }
    } else if !whole.generated.isEmpty {
      parts = whole.generated
    } else {
      parts = (try? assistantParts(of: messages, text)).flatMap { $0 }
    }
    guard let parts else { return (ids, [0..<ids.count]) }
    var spans: [Range<Int>] = []
    for part in parts {
      let start = try tokenCount(before: part.lowerBound, in: text, ids)
      let end = try tokenCount(before: part.upperBound, in: text, ids)
      if start < end { spans.append(start..<end) }
    }
    return (ids, spans)
  }

  /// The bytes of `text` that the assistant says; nil where they cannot be told.
  private func assistantParts(
    of messages: [JSONValue], _ text: [UInt8]
  ) throws(TemplateError) -> [Range<Int>]? {
    var parts: [Range<Int>] = []
    for (index, message) in messages.enumerated() where message["role"]?.string == "assistant" {
      guard let start = try start(of: index, in: messages, text) else { return nil }
      var end = text.count
      if index + 1 < messages.count {
        let upToHere = Array(messages[...index])
        let closed = Array(try render(upToHere).text.utf8)
        let asking = Array(try render(upToHere, addsGenerationPrompt: true).text.utf8)
        end = commonPrefixLength(closed, asking)
        guard end >= start, text.starts(with: closed[..<end]) else { return nil }
      }
      parts.append(start..<end)
    }
    return parts
  }

  /// Where message `index` starts in `text`.
  private func start(
    of index: Int, in messages: [JSONValue], _ text: [UInt8]
  ) throws(TemplateError) -> Int? {
    let before = try render(Array(messages[..<index]), addsGenerationPrompt: true).text.utf8
    return text.starts(with: before) ? before.count : nil
  }

  private func render(
    _ messages: [JSONValue], addsGenerationPrompt: Bool = false
  ) throws(TemplateError) -> ChatTemplate.Rendering {
    try template.render(
      messages: messages, tools: tools, variables: tokenizer.templateVariables,
      addsGenerationPrompt: addsGenerationPrompt, date: date)
  }

  /// How many of `ids` encode the first `offset` bytes of the text.
  private func tokenCount(
    before offset: Int, in text: [UInt8], _ ids: [Int32]
  ) throws(RecordError) -> Int {
    if offset == text.count { return ids.count }
    let prefix = String(decoding: text[..<offset], as: UTF8.self)
    return commonPrefixLength(try self.ids(of: prefix), ids)
  }

  /// The template writes the special tokens itself.
  private func ids(of text: String) throws(RecordError) -> [Int32] {
    do throws(TokenizerError) {
      return try tokenizer.tokenizer.encode(text, addsSpecialTokens: false).ids
    } catch {
      throw RecordError.tokenizer(error)
    }
  }
}
