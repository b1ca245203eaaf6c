import ArgumentParser
import Operations

struct EstimateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "estimate",
    abstract: "Count what a method would train on a model, and the memory it would take.",
    discussion: """
      Reads headers only; a folder with config.json alone is enough for the common architectures. \
      Methods can have additions: 1lora+bias+scale+norms, lora+norms.

      Example: peft-tool estimate llama --method lora --rank 16 --targets all-linear --quantize nf4
      """)

  @Argument(help: ArgumentHelp("The base model, or its config.json.", valueName: "MODEL"))
  var model: String

  @Option(name: .long, help: ArgumentHelp("The method.", valueName: "M"))
  var method: String

  @Option(
    name: .long,
    help: ArgumentHelp("The rank, or what the method has in its place.", valueName: "R"))
  var rank: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The layers to adapt; by default PEFT's of the architecture.",
      valueName: "all-linear|a,b,c|REGEX"))
  var targets: String?

  @Option(name: .long, help: "Hold the frozen linear layers quantized.")
  var quantize: BaseQuantization?

  @Option(
    name: .customLong("sequence-length"),
    help: ArgumentHelp("Tokens of a sample (default: 512).", valueName: "N"))
  var sequenceLength: Int?

  @Option(
    name: .customLong("batch-size"),
    help: ArgumentHelp("Samples of a step (default: 1).", valueName: "B"))
  var batchSize: Int?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let request = EstimateRequest(
      method: method, rank: rank, targets: try targets.map(TargetSelection.init(argument:)),
      quantization: quantize, sequenceLength: sequenceLength, batchSize: batchSize)
    let report = try request.report(model: model)
    if output.json {
      Terminal.putJSON(report.json)
    } else if !output.quiet {
      let rendering = EstimateRendering(report: report, listsModules: output.verbose)
      for line in rendering.lines { Terminal.put(line) }
    }
  }
}

extension BaseQuantization: ExpressibleByArgument {}
