import ArgumentParser
import Kernels
import Safetensors

struct MethodsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "methods",
    abstract: "List the methods that the tool knows.")

  @Flag(name: .long, help: "As the Markdown table of the README.")
  var markdown = false

  @OptionGroup var output: OutputOptions

  func run() {
    let descriptors = MethodRegistry.all.map { $0.descriptor }
    if output.json {
      Terminal.putJSON(.array(descriptors.map(\.json)))
    } else if markdown {
      Terminal.put(Self.table(descriptors))
    } else {
      var table = Table([("method", .left), ("names", .left), ("merge", .left)])
      for descriptor in descriptors {
        table.add([
          descriptor.title, descriptor.names.joined(separator: ", "),
          descriptor.notMergeable == nil ? "yes" : "no",
        ])
      }
      for line in table.lines { Terminal.put(line) }
    }
  }

  private static func table(_ descriptors: [MethodDescriptor]) -> String {
    var lines = ["| method | `peft_type` | merge | source | remarks |", "|---|---|---|---|---|"]
    for descriptor in descriptors {
      let types = descriptor.peftTypes.map { "`\($0)`" }.joined(separator: ", ")
      let remarks = [
        descriptor.notMergeable.map { "Not mergeable: \($0)." }, descriptor.remark,
        descriptor.roundedTwiceInPEFT ? "Rounded once; PEFT rounds twice." : nil,
      ]
      lines.append(
        "| \(descriptor.title) | \(types) | \(descriptor.notMergeable == nil ? "yes" : "no") | "
          + "\(descriptor.source) | \(remarks.compactMap { $0 }.joined(separator: " ")) |")
    }
    return lines.joined(separator: "\n")
  }
}

extension MethodDescriptor {
  fileprivate var json: JSONValue {
    [
      "title": .string(title),
      "names": .array(names.map { .string($0) }),
      "peft_types": .array(peftTypes.map { .string($0) }),
      "mergeable": .bool(notMergeable == nil),
      "reason": notMergeable.map(JSONValue.string) ?? .null,
      "source": .string(source),
    ]
  }
}
