import ArgumentParser
import Operations

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Turn an adapter into another format; lossless where both can say the same.",
    discussion: """
      A PEFT folder becomes one container file and back without losing a bit. The container holds \
      a CRC-32 of every tensor and, with --base, the fingerprint of the base it belongs to.
      """)

  @Argument(help: ArgumentHelp("The adapter.", valueName: "IN"))
  var input: String

  @Argument(help: ArgumentHelp("The output.", valueName: "OUT"))
  var out: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Format of the output; by default container for OUT.safetensors, otherwise folder.",
      valueName: "folder|container"))
  var to: AdapterConversion.Target?

  @Option(
    name: .long,
    help: ArgumentHelp("The base whose fingerprint the container names.", valueName: "MODEL"))
  var base: String?

  @Flag(name: .long, help: "Replace OUT if it exists.")
  var force = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    let conversion = try AdapterConversion(
      input: input, output: out, target: to, base: base, replacing: force)
    let bytes = try conversion.run()
    if output.json {
      Terminal.putJSON([
        "output": .string(out), "format": .string(conversion.target.rawValue),
        "tensors": .int(conversion.input.weights.header.tensors.count),
        "bytes_written": .int(bytes),
      ])
    } else if !output.quiet {
      Terminal.put(
        "wrote \(out): \(Text.count(conversion.input.weights.header.tensors.count, "tensor")), "
          + "\(Text.bytes(bytes)), as \(conversion.target.rawValue)")
    }
  }
}

extension AdapterConversion.Target: ExpressibleByArgument {}
