import ArgumentParser
import Kernels
import Operations
import Safetensors

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Merge adapters into a model: W0 + ΔW, rounded once.",
    usage: "peft-tool merge BASE ADAPTER[@WEIGHT]... OUT [options]",
    discussion: """
      Writes a complete model: weights in the base's shards, config.json, tokenizer and everything \
      else that is not a weight. ADAPTER@0.5 merges half of an adapter's change. OUT appears whole \
      or not at all.
      """)

  @Argument(help: ArgumentHelp("The base model.", valueName: "BASE"))
  var base: String

  @Argument(
    help: ArgumentHelp("One or more adapters, then the output.", valueName: "ADAPTER... OUT"))
  var rest: [String] = []

  @OptionGroup var writing: WritingOptions

  @Flag(name: .customLong("allow-unused"), help: "Go on when adapter tensors match nothing.")
  var allowUnused = false

  @Flag(
    name: .long, help: "Refuse what would only be reported: adapters whose regions overlap (SBoRA)."
  )
  var strict = false

  @Flag(
    name: .customLong("allow-other-base"),
    help: "Go on when the base is not the one the adapter was made for.")
  var allowOtherBase = false

  @Flag(
    name: .long,
    help: "Leave a record in OUT from which unmerge brings the base back, bit for bit.")
  var undo = false

  @Flag(
    name: .long,
    help: "Give the output head its own tensor when only the tied input embedding is adapted.")
  var untie = false

  @Flag(
    name: .customLong("base-is-residual"),
    help: "The base is what the adapter's start (PiSSA, OLoRA, LoftQ) has left of the original.")
  var baseIsResidual = false

  @Option(
    name: .long,
    help: ArgumentHelp("Write the sum quantized.", valueName: "nf4|fp4|int8"))
  var quantize: QuantizationScheme.Kind?

  @Option(
    name: .customLong("base-weights"),
    help: ArgumentHelp(
      "The model that a quantized BASE was made from: add the change to its weights.",
      valueName: "MODEL"))
  var baseWeights: String?

  @Option(
    name: .customLong("min-retention"),
    help: "Fail when a tensor keeps less than this part of its change (0 to 1).")
  var minimumRetention: Double?

  @Option(
    name: .customLong("ignore-setting"),
    help: ArgumentHelp(
      "Pass over a setting of the adapter that is not known. Repeatable.", valueName: "name"))
  var ignoredSettings: [String] = []

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if rest.count < 2 {
      throw ValidationError("merge needs a base, one or more adapters, and an output.")
    }
    if strict && allowUnused {
      throw ValidationError("--strict and --allow-unused exclude each other.")
    }
  }

  func run() throws {
    let start = ContinuousClock.now
    var request = MergeRequest(
      base: base, adapters: rest.dropLast().map(WeightedAdapter.init(argument:)),
      output: rest[rest.count - 1], threads: writing.workers)
    request.element = writing.dtype.element
    request.maximumShardSize = writing.maximumShardSize?.bytes
    request.replacing = writing.force
    request.isStrict = strict
    request.allowsUnused = allowUnused
    request.allowsOtherBase = allowOtherBase
    request.unties = untie
    request.baseIsResidual = baseIsResidual
    request.ignoredSettings = Set(ignoredSettings)
    request.minimumRetention = minimumRetention
    request.recordsUndo = undo
    request.quantization = quantize
    request.baseWeights = baseWeights
    let plan = try MergePlan(request, looksAtWeights: !writing.dryRun)
    if writing.dryRun {
      MergeRendering(output: output).show(plan)
      return
    }
    let report = try ProgressBar.run("merging", isWanted: !output.quiet && !output.noProgress) {
      try MergeOperation(plan).run(progress: $0)
    }
    MergeRendering(output: output).show(
      report, seconds: (ContinuousClock.now - start) / .seconds(1))
  }
}

extension WeightedAdapter {
  /// `PATH` or `PATH@WEIGHT`. A path that exists as it stands is no weight.
  init(argument: String) {
    if !FileSystem.exists(argument), let at = argument.lastIndex(of: "@"),
      let weight = Double(argument[argument.index(after: at)...]), weight.isFinite
    {
      self.init(path: String(argument[..<at]), weight: weight)
    } else {
      self.init(path: argument)
    }
  }
}
