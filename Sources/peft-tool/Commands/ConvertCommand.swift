import ArgumentParser
import Operations

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Turn an adapter into another format; lossless where both can say the same.",
    discussion: """
      IN is a PEFT folder, a container, or a file of kohya, diffusers, mlx-lm or 1LoRA's listing; \
      what it is is found out. A PEFT folder becomes one container file and back without losing a \
      bit. The container holds a CRC-32 of every tensor and, with --base, the fingerprint of the \
      base it belongs to. --to lora writes any method with a low-rank change as plain LoRA, which \
      every version of PEFT and most servers load. LoHa and LoKr become kohya files as LyCORIS writes \
      them, and back. native, mora-fork, sbora-fork and 1lora-listing change between the names of \
      MoRA's, SBoRA's and 1LoRA's authors and this tool's.
      """)

  @Argument(help: ArgumentHelp("The adapter.", valueName: "IN"))
  var input: String

  @Argument(help: ArgumentHelp("The output.", valueName: "OUT"))
  var out: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Format of the output; by default container for OUT.safetensors, otherwise folder.",
      valueName: "format"))
  var to: AdapterConversion.Target?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The base: a container names its fingerprint; kohya's names and layers whose size the adapter "
        + "does not say are looked up in it.",
      valueName: "MODEL"))
  var base: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "What names begin with, or which of several models in IN to take: kohya lora_unet, lora_te, "
        + "...; diffusers unet, transformer, text_encoder, ...",
      valueName: "name"))
  var prefix: String?

  @Flag(
    name: .long,
    help: "With --to lora: one rank and one alpha for all modules, for readers without patterns.")
  var uniform = false

  @Option(
    name: .customLong("ignore-setting"),
    help: ArgumentHelp(
      "Go on without this setting of the adapter, which is not known; may be repeated.",
      valueName: "name"))
  var ignoredSettings: [String] = []

  @Flag(name: .customLong("dry-run"), help: "Say what would be written, and write nothing.")
  var dryRun = false

  @Flag(name: .long, help: "Replace OUT if it exists.")
  var force = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if uniform, to != .lora { throw ValidationError("--uniform needs --to lora.") }
  }

  func run() throws {
    let report = try AdapterConversion(
      input: input, output: out, target: to, base: base, prefix: prefix, isUniform: uniform,
      replacing: force, isDryRun: dryRun, ignoredSettings: Set(ignoredSettings)
    ).run()
    if output.json {
      Terminal.putJSON([
        "output": .string(out), "format": .string(report.target.rawValue),
        "tensors": .int(report.tensors), "bytes_written": .int(dryRun ? 0 : report.bytes),
        "rescaled": .array(report.rescaled.map { .string($0) }), "dry_run": .bool(dryRun),
      ])
    } else if !output.quiet {
      Terminal.put(
        "\(dryRun ? "would write" : "wrote") \(out): \(Text.count(report.tensors, "tensor")), \(Text.bytes(report.bytes)), as "
          + report.target.rawValue)
      if !report.rescaled.isEmpty {
        Terminal.put(
          "the scale of \(Text.count(report.rescaled.count, "module")) is multiplied into their factors, which "
            + "rounds unless it is a power of 2: \(Failure.list(report.rescaled))")
      }
    }
  }
}

extension AdapterConversion.Target: ExpressibleByArgument {}
