import ArgumentParser
import Operations

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a model or an adapter holds, and whether it is sound.",
    discussion: """
      For an adapter: method, hyper-parameters, effective scale and trainable parameters of each \
      module; with --base also their share of all parameters, and every tensor that does not fit. \
      --for names what a program would refuse, or go on without, and the command that helps.
      """)

  @Argument(help: ArgumentHelp("A model, a shard or an adapter.", valueName: "PATH"))
  var path: String

  @Option(name: .long, help: ArgumentHelp("The adapter's base.", valueName: "MODEL"))
  var base: String?

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp(
      "Say what this program would refuse or pass over in the adapter, and what helps.",
      valueName: "program"))
  var consumer: Consumer?

  @Flag(name: .long, help: "List every tensor.")
  var tensors = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    let isSound: Bool
    if let foreign = ForeignInspection(path: path), consumer != nil || !foreign.isModel {
      let advice = try consumer.map {
        ConsumerRendering(
          path: path, base: base, consumer: $0, advice: try ConsumerAdvice.all(path: path, for: $0))
      }
      let rendering = ForeignRendering(inspection: foreign, advice: advice)
      if output.json {
        Terminal.putJSON(rendering.json)
      } else if !output.quiet {
        for line in rendering.lines { Terminal.put(line) }
      }
      isSound = true
    } else if base != nil || consumer != nil || Verification.isAdapter(path) {
      let inspection = try AdapterInspection(path: path, base: base)
      let rendering = AdapterRendering(inspection: inspection, listsTensors: tensors)
      let advice = try consumer.map {
        ConsumerRendering(
          path: path, base: base, consumer: $0, advice: try ConsumerAdvice.all(path: path, for: $0))
      }
      if output.json {
        var json = rendering.json
        if let advice { json["advice"] = advice.json }
        Terminal.putJSON(json)
      } else if !output.quiet {
        for line in rendering.lines + (advice?.lines ?? []) { Terminal.put(line) }
      }
      isSound = inspection.isSound
    } else if UndoInspection.isRecord(path) {
      let rendering = try UndoInspectionRendering(path: path)
      if output.json {
        Terminal.putJSON(rendering.json)
      } else if !output.quiet {
        for line in rendering.lines { Terminal.put(line) }
      }
      isSound = rendering.isSound
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

extension Consumer: ExpressibleByArgument {}
