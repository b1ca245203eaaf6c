import ArgumentParser
import Operations
import Safetensors

struct UnmergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unmerge",
    abstract: "Take adapters out of a merged model again.",
    usage: "peft-tool unmerge MERGED ADAPTER[@WEIGHT]... OUT [options]",
    discussion: """
      Where merge --undo left a record, the base comes back bit for bit: every tensor is checked, and \
      the files are what they were. The adapters and their weights are those of the merge, in its order.

      Without a record the changes are subtracted, or divided out, and the result is the base up to \
      rounding. What an adapter replaced cannot come back that way, nor can a method whose factors \
      depend on the base, as DoRA's do.
      """)

  @Argument(help: ArgumentHelp("The merged model.", valueName: "MERGED"))
  var merged: String

  @Argument(
    help: ArgumentHelp(
      "The adapters that were merged, then the output.", valueName: "ADAPTER... OUT"))
  var rest: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp("The undo record (default: undo.safetensors in MERGED).", valueName: "path"))
  var record: String?

  @Flag(name: .customLong("no-record"), help: "Subtract even where there is a record.")
  var noRecord = false

  @Flag(
    name: .customLong("keep-replaced"),
    help: "Without a record: leave tensors that an adapter replaced as they are.")
  var keepReplaced = false

  @Flag(
    name: .customLong("allow-unused"),
    help: "Without a record: go on when adapter tensors match nothing.")
  var allowUnused = false

  @Flag(
    name: .customLong("base-is-residual"),
    help: "Without a record: the base was what the adapter's start (PiSSA, OLoRA, LoftQ) had left.")
  var baseIsResidual = false

  @Option(
    name: .customLong("ignore-setting"),
    help: ArgumentHelp(
      "Without a record: pass over a setting that is not known. Repeatable.", valueName: "name"))
  var ignoredSettings: [String] = []

  @OptionGroup var writing: WritingOptions

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if rest.count < 2 {
      throw ValidationError("unmerge needs a merged model, one or more adapters, and an output.")
    }
    if noRecord && record != nil {
      throw ValidationError("--record and --no-record exclude each other.")
    }
    if writing.dtype != .keep || writing.maximumShardSize != nil {
      throw ValidationError("unmerge gives the base's own element types and files back.")
    }
  }

  func run() throws {
    let start = ContinuousClock.now
    var request = UnmergeRequest(
      merged: merged, adapters: rest.dropLast().map(WeightedAdapter.init(argument:)),
      output: rest[rest.count - 1], threads: writing.workers)
    request.record = record
    request.ignoresRecord = noRecord
    request.keepsReplaced = keepReplaced
    request.allowsUnused = allowUnused
    request.baseIsResidual = baseIsResidual
    request.ignoredSettings = Set(ignoredSettings)
    request.replacing = writing.force
    let plan = try UnmergePlan(request)
    if writing.dryRun {
      UnmergeRendering(output: output).show(plan)
      return
    }
    let report = try ProgressBar.run("unmerging", isWanted: !output.quiet && !output.noProgress) {
      try UnmergeOperation(plan).run(progress: $0)
    }
    UnmergeRendering(output: output).show(
      report, seconds: (ContinuousClock.now - start) / .seconds(1))
  }
}
