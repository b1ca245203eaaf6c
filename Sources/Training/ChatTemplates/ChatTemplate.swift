import Safetensors

/// A chat template: a Jinja template that turns messages into the text that a model was trained on.
///
/// Rendered as transformers does it: `trim_blocks` and `lstrip_blocks`, the extensions for
/// `{% break %}`, `{% continue %}` and `{% generation %}`, a `tojson` that leaves HTML alone, and no way
/// to change a list or a dictionary. Constructs of Jinja beyond what chat templates use are an error
/// with their line.
public struct ChatTemplate: Sendable {
  private let statements: [TemplateStatement]

  /// - Throws: `syntax`, `unsupported`, `limitExceeded`.
  public init(_ source: String) throws(TemplateError) {
    statements = try TemplateParser.parse(source)
  }

  /// A rendered conversation.
  public struct Rendering: Equatable, Sendable {
    public var text: String
    /// The parts of `text` that `{% generation %}` marks, as ranges of UTF-8 bytes.
    public var generated: [Range<Int>]
  }

  /// What `strftime_now` answers with.
  public struct Date: Equatable, Sendable {
    public var year: Int
    /// From 1.
    public var month: Int
    public var day: Int

    public init(year: Int, month: Int, day: Int) {
      self.year = year
      self.month = month
      self.day = day
    }
  }

  /// Renders a conversation.
  ///
  /// - Parameters:
  ///   - messages: objects with `role` and `content`.
  ///   - tools: the value of `tools`; null without.
  ///   - variables: further variables: `bos_token`, `eos_token` and the like.
  ///   - addsGenerationPrompt: whether the text ends where the assistant's answer starts.
  ///   - date: the day of `strftime_now`. Nil makes a template that asks for it fail: a rendering
  ///     does not depend on the clock.
  public func render(
    messages: [JSONValue], tools: JSONValue = .null, variables: JSONObject = [:],
    addsGenerationPrompt: Bool = false, date: Date? = nil
  ) throws(TemplateError) -> Rendering {
    let scope = TemplateScope()
    for function in [
      TemplateFunction.range, .namespace, .dict, .raiseException, .dateAndTime,
    ] {
      scope[function.rawValue] = .function(function)
    }
    scope["messages"] = TemplateValue(.array(messages))
    scope["tools"] = TemplateValue(tools)
    scope["documents"] = TemplateValue.none
    scope["add_generation_prompt"] = .bool(addsGenerationPrompt)
    for entry in variables.entries { scope[entry.key] = TemplateValue(entry.value) }
    var interpreter = TemplateInterpreter(date: date)
    _ = try interpreter.run(statements, in: scope)
    return Rendering(text: interpreter.output, generated: interpreter.generated)
  }
}
