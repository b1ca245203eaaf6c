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
    let methods = MethodRegistry.all
    if output.json {
      Terminal.putJSON(.array(methods.map { Self.json($0) }))
    } else if markdown {
      Terminal.put(Self.table(methods))
    } else {
      var table = Table([
        ("method", .left), ("names", .left), ("merge", .left), ("train", .left),
      ])
      for method in methods {
        table.add([
          method.descriptor.title, method.descriptor.names.joined(separator: ", "),
          method.descriptor.notMergeable == nil ? "yes" : "no",
          Self.isTrained(method) ? "yes" : "no",
        ])
      }
      for line in table.lines { Terminal.put(line) }
    }
  }

  private static func isTrained(_ method: any AdapterMethod.Type) -> Bool {
    method is any TrainableMethod.Type
  }

  private static func table(_ methods: [any AdapterMethod.Type]) -> String {
    var lines = [
      "| method | `peft_type` | merge | train | source | remarks |", "|---|---|---|---|---|---|",
    ]
    for method in methods {
      let descriptor = method.descriptor
      let types = descriptor.peftTypes.map { "`\($0)`" }.joined(separator: ", ")
      let remarks = [
        descriptor.notMergeable.map { "Not mergeable: \($0)." }, descriptor.remark,
        descriptor.roundedTwiceInPEFT ? "Rounded once; PEFT rounds twice." : nil,
      ]
      lines.append(
        "| \(descriptor.title) | \(types) | \(descriptor.notMergeable == nil ? "yes" : "no") | "
          + "\(isTrained(method) ? "yes" : "no") | \(descriptor.source) | \(remarks.compactMap { $0 }.joined(separator: " ")) |"
      )
    }
    return lines.joined(separator: "\n")
  }

  private static func json(_ method: any AdapterMethod.Type) -> JSONValue {
    let descriptor = method.descriptor
    return [
      "title": .string(descriptor.title),
      "names": .array(descriptor.names.map { .string($0) }),
      "peft_types": .array(descriptor.peftTypes.map { .string($0) }),
      "mergeable": .bool(descriptor.notMergeable == nil),
      "trainable": .bool(isTrained(method)),
      "reason": descriptor.notMergeable.map(JSONValue.string) ?? .null,
      "source": .string(descriptor.source),
    ]
  }
}
