import Foundation
import Safetensors
import Testing

@testable import peft_tool

/// `diff`, as a user runs it.
@Suite struct DiffCommandTests {
  private let base = Tool.fixtures + "/llama/base"
  private let lora = Tool.fixtures + "/llama/lora"

  @Test func exitStatusAndKeys() throws {
    let folder = try TemporaryFolder()
    #expect(try Tool.run("merge", base, lora, folder.file("m"), "--quiet").status == 0)
    let same = try Tool.run("diff", base + "+" + lora, folder.file("m"), "--json")
    #expect(same.status == 0)
    #expect(same.json?["identical"] == true && same.json?["equal"]?.int == 21)
    #expect(same.json?["changed"]?.array == [])
    let other = try Tool.run("diff", base + "+" + lora + "@0.5", folder.file("m"), "--json")
    #expect(other.status == 1 && other.json?["identical"] == false)
    let changed = try #require(other.json?["changed"]?.array)
    #expect(changed.count == 14 && other.json?["equal"]?.int == 7)
    let keys: Set<String> = [
      "tensor", "max_abs", "mean_abs", "relative_norm", "cosine", "max_ulp", "magnitude_change",
      "direction_change",
    ]
    #expect(changed.allSatisfy { keys.isSubset(of: $0.object?.keys ?? []) })
    #expect(other.json?["only_in_a"]?.array == [] && other.json?["only_in_b"]?.array == [])
  }

  @Test func listing() throws {
    let sum = base + "+" + lora
    let top = try Tool.run("diff", base, sum, "--json", "--sort", "norm", "--top", "3")
    let norms = try #require(top.json?["changed"]?.array).compactMap { $0["relative_norm"]?.double }
    #expect(norms.count == 3 && norms == norms.sorted(by: >))
    #expect(top.json?["changed_count"]?.int == 14)
    let some = try Tool.run(
      "diff", base, sum, "--include", "*layers.0.*", "--exclude", "*mlp*", "--exclude", "*norm*")
    #expect(some.status == 1 && some.output.contains("4 tensors changed, 0 equal"))
    #expect(try Tool.run("diff", base, sum, "--tolerance", "10").status == 0)
    #expect(try Tool.run("diff", base, sum, "--quiet").output == "")
    let serial = try Tool.run("diff", base, sum, "--json", "--threads", "1")
    #expect(try Tool.run("diff", base, sum, "--json", "--threads", "3").output == serial.output)
  }

  @Test func failures() throws {
    let mixed = try Tool.run("diff", lora, base, "--json")
    #expect(mixed.status == 65 && mixed.json?["error"]?["code"]?.string == "different_kinds")
    #expect(try Tool.run("diff", base, "/nowhere/at/all").status == 66)
    #expect(try Tool.run("diff", base, base + "+/nowhere").status == 66)
    #expect(try Tool.run("diff", base, base, "--include", "nothing").status == 65)
    #expect(try Tool.run("diff", base).status == 64)
    let folder = try TemporaryFolder()
    try Data("mine".utf8).write(to: URL(filePath: folder.file("page.html")))
    let page = folder.file("page.html")
    #expect(try Tool.run("diff", base, base, "--report", page).status == 73)
    #expect(try String(contentsOfFile: page, encoding: .utf8) == "mine")
    #expect(try Tool.run("diff", base, base, "--report", page, "--force").status == 0)
  }

  /// Names with a plus in them are names first.
  @Test func plusInAName() throws {
    let folder = try TemporaryFolder()
    for (from, to) in [(base, "a+b"), (lora, "c+d@2")] {
      try FileManager.default.copyItem(atPath: from, toPath: folder.file(to))
    }
    let (model, adapter) = (folder.file("a+b"), folder.file("c+d@2"))
    #expect(try Tool.run("diff", base, model).status == 0)
    #expect(try Tool.run("diff", base + "+" + lora, model + "+" + adapter).status == 0)
    #expect(try Tool.run("diff", base + "+" + lora, model + "+" + adapter + "@3").status == 1)
  }
}

/// The page that `diff --report` writes.
@Suite struct DiffPageTests {
  private func page(_ a: String, _ b: String) throws -> (html: String, json: JSONValue) {
    let folder = try TemporaryFolder()
    let file = folder.file("page.html")
    let result = try Tool.run(
      "diff", Tool.fixtures + a, Tool.fixtures + b, "--json", "--report", file, "--top", "9")
    let json = try #require(result.json)
    return (try String(contentsOfFile: file, encoding: .utf8), json)
  }

  private static let pairs = [
    ("/bert/base", "/bert/base+" + Tool.fixtures + "/bert/lora"),
    ("/llama/base", "/llama/base+" + Tool.fixtures + "/llama/dora"),
    ("/llama/lora", "/llama/lora_rslora"), ("/llama/base", "/llama/base"),
    ("/llama/dora", "/llama/lora"),
  ]

  /// Nothing is fetched, every element is closed, every name is escaped.
  @Test(arguments: pairs)
  func standsAlone(_ a: String, _ b: String) throws {
    let (html, _) = try page(a, b)
    #expect(html.hasPrefix("<!DOCTYPE html>"))
    for forbidden in ["<script", "<link", "<img", "@import", "url(", "http:", "https:", "src="] {
      #expect(!html.contains(forbidden), "\(forbidden)")
    }
    for needed in ["prefers-color-scheme: dark", "name=\"viewport\"", "<title>"] {
      #expect(html.contains(needed), "\(needed)")
    }
    let body = try #require(html.range(of: "<html")).lowerBound
    let parser = XMLTags(String(html[body...]))
    #expect(parser.problem == nil, "\(parser.problem ?? "")")
  }

  @Test func charts() throws {
    let (html, json) = try page("/llama/base", "/llama/base+" + Tool.fixtures + "/llama/dora")
    #expect(html.contains("class=\"map\"") && html.contains("Histogram of relative changes"))
    // A cell for every changed tensor of the layers, and a point for every changed matrix.
    let legend = 12
    #expect(html.components(separatedBy: "class=\"cell\"").count - 1 == 14 + legend)
    #expect(json["heat_maps"]?.array?.count == 1)
    let spectra = try #require(json["spectra"]?.array)
    #expect(spectra.count == 8)
    let points = spectra.reduce(14) { $0 + ($1["singular_values"]?.array?.count ?? 0) }
    #expect(html.components(separatedBy: "class=\"point\"").count - 1 == points)
    #expect(html.components(separatedBy: "<tr>").count - 1 == 1 + 9)
    #expect(json["magnitude_direction"]?.array?.count == 14)
  }

  /// Every number that the page shows is in the JSON.
  @Test(arguments: pairs)
  func numbersAreInTheJSON(_ a: String, _ b: String) throws {
    let (html, json) = try page(a, b)
    var known: Set<String> = ["0", "1", "2402.09353", "3.2"]
    func collect(_ value: JSONValue) {
      switch value {
      case .number(let number):
        if let int = number.int {
          known.formUnion([String(int), Text.grouped(int)])
        } else {
          known.insert(Text.significant(number.double))
          for digits in [2, 3, 6] { known.insert(Text.fixed(number.double, digits)) }
        }
      case .array(let values):
        known.insert(Text.grouped(values.count))
        values.forEach(collect)
      case .object(let object): object.entries.forEach { collect($0.value) }
      default: break
      }
    }
    collect(json)
    // Names, and what is between tags; the texts of attributes are not shown.
    var text = html.replacing(/(?s)<style>.*?<\/style>/, with: " ")
      .replacing(/(?s)<title>diff:.*?<\/title>/, with: " ")
      .replacing(/(?s)<code>.*?<\/code>/, with: " ")
      .replacing(#/<title>[A-Za-z_][\w.*]*: /#, with: "<title>")
      .replacing(/<text class="name".*?<\/text>/, with: " ")
    if let settings = text.firstRange(of: /(?s)<table class="text">.*?<\/table>/) {
      text.replaceSubrange(settings, with: " ")
    }
    text = text.replacing(/(?s)<[^>]*>/, with: " ").replacing(/\b[A-Za-z_]\w*/, with: " ")
    for match in text.matches(of: /-?[0-9][0-9.,]*(?:e[-+][0-9]+)?/) {
      let number = String(match.output.replacing(/[.,]$/, with: ""))
      let isKnown = known.contains(number)
      #expect(isKnown, "\(number)")
    }
  }

  @Test func markupIsEscaped() {
    #expect(Markup.escaped("<a & \"b\">") == "&lt;a &amp; &quot;b&quot;&gt;")
    #expect(Markup.table(["x"], numbers: 1, [["<b>"]]).contains("&lt;b&gt;"))
  }
}

/// Whether the tags of a page match.
private struct XMLTags {
  private(set) var problem: String?

  init(_ html: String) {
    var open: [String] = []
    for match in html.matches(of: /<(\/?)([A-Za-z0-9]+)((?:\s[^<>]*?)?)(\/?)>/) {
      let name = String(match.2)
      if !match.4.isEmpty || ["meta", "wbr"].contains(name) { continue }
      if match.1.isEmpty {
        open.append(name)
      } else if open.popLast() != name {
        problem = "</\(name)> after \(open.suffix(3))"
        return
      }
    }
    if !open.isEmpty { problem = "open at the end: \(open)" }
  }
}

@Suite struct SignificantDigitsTests {
  @Test func fourDigits() {
    let cases: [(Double, String)] = [
      (0, "0"), (1, "1.000"), (12_344, "1.234e+04"), (9999.6, "1.000e+04"),
      (0.012345678, "0.01235"),
      (0.00099996, "0.001000"), (1.5e-7, "1.500e-07"), (-2.5e-310, "-2.500e-310"), (1234.4, "1234"),
      (.infinity, "inf"), (0.1, "0.1000"), (9.9996, "10.00"),
    ]
    for (number, text) in cases { #expect(Text.significant(number) == text, "\(number)") }
  }
}
