import Safetensors
import Testing

@testable import Training

/// Templates in the manner of the model families and single features of Jinja, against what
/// transformers renders.
@Suite struct ChatTemplateTests {
  static let date = ChatTemplate.Date(year: 2024, month: 7, day: 26)

  private func check(
    _ template: String, _ expected: JSONValue, messages: [JSONValue], tools: JSONValue,
    variables: JSONObject, prompt: Bool, _ title: String
  ) throws {
    do {
      let rendering = try ChatTemplate(template).render(
        messages: messages, tools: tools, variables: variables, addsGenerationPrompt: prompt,
        date: Self.date)
      guard let wanted = expected["text"]?.string else {
        Issue.record("\(title): rendered \(rendering.text.debugDescription), not \(expected)")
        return
      }
      #expect(
        rendering.text.utf8.elementsEqual(wanted.utf8),
        "\(title)\n got \(rendering.text.debugDescription)\nwant \(wanted.debugDescription)")
      if let spans = expected["generated"]?.array {
        // The fixture counts code points.
        let ranges = rendering.generated.map { range in
          JSONValue.array(
            [range.lowerBound, range.upperBound].map { offset in
              .int(String(rendering.text.utf8.prefix(offset))?.unicodeScalars.count ?? -1)
            })
        }
        #expect(ranges == spans, "\(title)")
      }
    } catch {
      guard let wanted = expected["error"]?.string else {
        Issue.record("\(title): \(error)")
        return
      }
      switch error {
      case .raised(_, let message): #expect(message == wanted, "\(title)")
      case .syntax: #expect(wanted == "TemplateSyntaxError", "\(title): \(error)")
      case .undefined: #expect(wanted == "UndefinedError", "\(title): \(error)")
      case .unsupported:
        #expect(
          ["SecurityError", "TemplateAssertionError", "UndefinedError"].contains(wanted),
          "\(title): \(error)")
      case .invalidOperation:
        #expect(
          ["TypeError", "ZeroDivisionError", "ValueError"].contains(wanted), "\(title): \(error)")
      case .dateMissing, .limitExceeded: Issue.record("\(title): \(error)")
      }
    }
  }

  @Test func familiesRenderAsTransformersRenders() throws {
    let file = try TokenizerFixtures.json("chat/cases.json")
    let variables = try #require(file["variables"]?.object)
    let tool = try #require(file["tool"])
    let cases = try #require(file["cases"]?.array)
    #expect(cases.count > 200)
    for expected in cases {
      let name = expected["template"]?.string ?? ""
      let conversation = expected["conversation"]?.string ?? ""
      try check(
        try #require(file["templates"]?[name]?.string), expected,
        messages: try #require(file["conversations"]?[conversation]?.array),
        tools: expected["tools"]?.bool == true ? .array([tool]) : .null, variables: variables,
        prompt: expected["prompt"]?.bool == true, "\(name), \(conversation)")
    }
  }

  @Test func featuresRenderAsTransformersRenders() throws {
    let file = try TokenizerFixtures.json("chat/cases.json")
    let variables = try #require(file["variables"]?.object)
    let messages = try #require(file["conversations"]?["tools"]?.array)
    for expected in try #require(file["features"]?.array) {
      let template = expected["template"]?.string ?? ""
      try check(
        template, expected, messages: messages, tools: .null, variables: variables, prompt: false,
        template)
    }
  }

  @Test(
    arguments: [
      ("{{ 1 }}\n{% include 'x' %}", TemplateError.unsupported(line: 2, construct: "include")),
      ("\n\n{{ 'a' | batch(2) }}", .unsupported(line: 3, construct: "filter batch")),
      ("{{ f(*x) }}", .unsupported(line: 1, construct: "*arguments")),
      ("{{ '%d' % 1 }}", .unsupported(line: 1, construct: "string % value")),
      ("{{ [1].append(2) }}", .unsupported(line: 1, construct: "list.append")),
      ("a\n{{ x.y }}", .undefined(line: 2, name: "x")),
      (
        "{{ 9223372036854775807 + 1 - 'a' }}",
        .invalidOperation(line: 1, operation: "float - string")
      ),
      ("{{ range(1000000) }}", .limitExceeded(line: 1, limit: "range 100000")),
      ("{{ 'ab' * 9000000000 }}", .limitExceeded(line: 1, limit: "length 4194304")),
      (
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        .limitExceeded(line: 1, limit: "600 nested steps")
      ),
      (
        "{{ " + String(repeating: "(", count: 200) + "1" + String(repeating: ")", count: 200)
          + " }}",
        .limitExceeded(line: 1, limit: "nesting 100")
      ),
      (
        "{{ 1" + String(repeating: " + 1", count: 300) + " }}",
        .limitExceeded(line: 1, limit: "chain of 200")
      ),
      ("{{ strftime_now('%Y') }}", .dateMissing(line: 1)),
      ("{{ '{% endraw", .syntax(line: 1, found: "'")),
      ("{% raw %}", .syntax(line: 1, found: "{% raw %}")),
      ("x{# y", .syntax(line: 1, found: "{#")),
      ("{% if a %}\n{% for b in c %}{% endif %}", .syntax(line: 2, found: "endif")),
    ] as [(String, TemplateError)])
  func errorsSayWhatAndWhere(template: String, error: TemplateError) {
    #expect(throws: error) { try ChatTemplate(template).render(messages: []) }
  }
}
