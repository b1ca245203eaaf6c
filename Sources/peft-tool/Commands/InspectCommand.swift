import ArgumentParser
import Operations

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a model or an adapter holds, and whether it is sound.",
    discussion: """
      For an adapter: method, hyper-parameters, effective scale and trainable parameters of each \
      module; with --base also their share of all parameters, and every tensor that does not fit.
      """)

  @Argument(help: ArgumentHelp("A model, a shard or an adapter.", valueName: "PATH"))
  var path: String

  @Option(name: .long, help: ArgumentHelp("The adapter's base.", valueName: "MODEL"))
  var base: String?

  @Flag(name: .long, help: "List every tensor.")
  var tensors = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    let isSound: Bool
    if base != nil || Verification.isAdapter(path) {
      let inspection = try AdapterInspection(path: path, base: base)
      let rendering = AdapterRendering(inspection: inspection, listsTensors: tensors)
      if output.json {
        Terminal.putJSON(rendering.json)
      } else if !output.quiet {
        for line in rendering.lines { Terminal.put(line) }
      }
      isSound = inspection.isSound
    } else {
      let inspection = try ModelInspection(path: path)
      let rendering = ModelRendering(inspection: inspection, listsTensors: tensors)
      if output.json {
        Terminal.putJSON(rendering.json)
      } else if !output.quiet {
        for line in rendering.lines { Terminal.put(line) }
      }
      isSound = inspection.isSound
    }
    if !isSound { throw ExitCode(1) }
  }
}
