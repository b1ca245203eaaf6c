import ArgumentParser
import Operations
import Safetensors

struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Show what differs between two models or two adapters.",
    usage: "peft-tool diff A B [options]",
    discussion: """
      A and B are models, shards, adapters, or BASE+ADAPTER[@WEIGHT]+...: the model that merging \
      them would write. Of every tensor that differs: the largest and the mean |a - b|, \
      ‖A - B‖/‖A‖, the cosine of A and B, the largest distance in representable numbers, and how \
      the output rows changed in magnitude (ΔM) and in direction (ΔD). Exit status 1 when \
      something differs.
      """)

  @Argument(help: ArgumentHelp("What to compare.", valueName: "A"))
  var a: String

  @Argument(help: ArgumentHelp("What to compare it with.", valueName: "B"))
  var b: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Order of the changed tensors; all but name have the largest first.",
      valueName: "name|norm|max|mean|ulp|cosine|magnitude|direction"))
  var sort: DiffOrder = .name

  @Option(name: .long, help: ArgumentHelp("List only the first N changed tensors.", valueName: "N"))
  var top: Int?

  @Option(
    name: .long,
    help: ArgumentHelp("Compare only tensors whose names match. Repeatable.", valueName: "glob"))
  var include: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp("Do not compare tensors whose names match. Repeatable.", valueName: "glob"))
  var exclude: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Tensors with ‖A - B‖ up to X times ‖A‖ count as equal, whatever their types.",
      valueName: "X"))
  var tolerance: Double?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Write a page with charts: a heat map by layer, a histogram, singular values of the change.",
      valueName: "file.html"))
  var report: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Find the singular values of the N most changed matrices (8 with --report).",
      valueName: "N"))
  var spectra: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Element type that sums are rounded to, as in merge.", valueName: "keep|f32|f16|bf16"))
  var dtype: ElementChoice = .keep

  @Flag(name: .long, help: "Untie the output head of sums, as in merge.")
  var untie = false

  @Flag(name: .customLong("base-is-residual"), help: "Read the base of sums so, as in merge.")
  var baseIsResidual = false

  @Flag(name: .customLong("allow-unused"), help: "Let adapter tensors match nothing, as in merge.")
  var allowUnused = false

  @Option(
    name: .customLong("ignore-setting"),
    help: ArgumentHelp("Pass over a setting of adapters, as in merge.", valueName: "name"))
  var ignoredSettings: [String] = []

  @Option(
    name: .long,
    help: "Worker threads; by default two per core, at most 8. Never changes a number.")
  var threads: Int?

  @Flag(name: .long, help: "Replace the report if it exists.")
  var force = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be 1 or more.") }
    if let top, top < 0 { throw ValidationError("--top must be 0 or more.") }
    if let spectra, spectra < 0 { throw ValidationError("--spectra must be 0 or more.") }
    if let tolerance, !(tolerance >= 0) {
      throw ValidationError("--tolerance must be 0 or more.")
    }
  }

  func run() throws {
    // One computes while another waits for the disk.
    var request = DiffRequest(
      a: DiffOperand(argument: a), b: DiffOperand(argument: b),
      threads: threads ?? min(2 * ProcessMemory.coreCount, 8))
    request.merging.element = dtype.element
    request.merging.unties = untie
    request.merging.baseIsResidual = baseIsResidual
    request.merging.allowsUnused = allowUnused
    request.merging.ignoredSettings = Set(ignoredSettings)
    request.included = include.map(Glob.init)
    request.excluded = exclude.map(Glob.init)
    request.tolerance = tolerance
    request.spectra = spectra ?? (report == nil ? 0 : 8)
    // Made first: a report that cannot be written is no reason to read two models.
    let page = try report.map { try AtomicOutput(.file, at: $0, replacing: force) }

    let result = try ProgressBar.run("comparing", isWanted: !output.quiet && !output.noProgress) {
      try DiffOperation(request).run(progress: $0)
    }
    let rendering = DiffRendering(
      a: a, b: b, report: result, order: sort, limit: top, hasPage: page != nil,
      tolerance: tolerance)
    if let page {
      let file = try OutputFile(path: page.temporaryPath)
      try file.write(Array(DiffPage(rendering).html.utf8), at: 0)
      try file.close()
      try page.commit()
    }
    if output.json {
      Terminal.putJSON(rendering.json)
    } else if !output.quiet {
      for line in rendering.lines { Terminal.put(line) }
    }
    if !result.isIdentical { throw ExitCode(1) }
  }
}

extension DiffOrder: ExpressibleByArgument {}

extension DiffOperand {
  /// `PATH`, or `BASE+ADAPTER[@WEIGHT]+…`. A path that exists as it stands is no sum; of a sum, every
  /// part is the longest that exists.
  init(argument: String) {
    let pieces = argument.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
    guard !FileSystem.exists(argument), pieces.count > 1 else {
      self.init(path: argument)
      return
    }
    var parts: [WeightedAdapter] = []
    var rest = pieces[...]
    while !rest.isEmpty {
      let count = rest.indices.reversed().first { end in
        let path = WeightedAdapter(argument: rest[...end].joined(separator: "+")).path
        return FileSystem.exists(path)
      }.map { $0 - rest.startIndex + 1 }
      let part = rest.prefix(count ?? 1)
      parts.append(WeightedAdapter(argument: part.joined(separator: "+")))
      rest = rest.dropFirst(part.count)
    }
    self.init(path: parts[0].path, adapters: Array(parts.dropFirst()))
  }
}
