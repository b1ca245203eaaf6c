import ArgumentParser
import Operations
import Safetensors

struct CombineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "combine",
    abstract: "Make one LoRA of several adapters; no base needed.",
    usage: "peft-tool combine OUT ADAPTER[@WEIGHT]... [options]",
    discussion: """
      The default, cat, is exact: ΔW = Σ weight·ΔW. --resize brings the result down to a rank by the \
      SVD of the sum and prints what that loses. The other modes are PEFT's; those that begin with \
      ties, dare or magnitude-prune and end with -svd hold the changes of one module whole, out × in of \
      every adapter, and the others never do. Adapters may also be \
      one sum: "a + 0.5*b - c". OUT is a PEFT folder, or a container when it ends with .safetensors.

      Example: peft-tool combine both style@0.8 chat@0.5 --resize 16
      """)

  @Argument(help: ArgumentHelp("The output.", valueName: "OUT"))
  var out: String

  @Argument(help: ArgumentHelp("The adapters, or a sum of adapters.", valueName: "ADAPTER"))
  var adapters: [String] = []

  @Option(name: .long, help: ArgumentHelp("How adapters become one.", valueName: "M"))
  var mode: CombinationMode = .cat

  @Option(
    name: [.customLong("resize"), .customLong("rank")],
    help: ArgumentHelp("Largest rank of the result.", valueName: "R"))
  var rank: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The part of every tensor that ties, dare and magnitude-prune keep (above 0, up to 1).",
      valueName: "D"))
  var density: Double?

  @Option(name: .long, help: ArgumentHelp("Seed of the dare modes.", valueName: "N"))
  var seed: UInt64 = 0

  @Option(
    name: .customLong("majority-sign"),
    help: ArgumentHelp("How ties elects signs.", valueName: "total|frequency"))
  var majoritySign: MajoritySign = .total

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A base, for adapters that do not say how large their layers are.", valueName: "MODEL"))
  var base: String?

  @Option(name: .long, help: "Worker threads; by default one per core. Never changes a byte.")
  var threads: Int?

  @Flag(name: .long, help: "Replace OUT if it exists.")
  var force = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if adapters.isEmpty { throw ValidationError("combine needs an output and adapters.") }
    if let threads, threads < 1 { throw ValidationError("--threads must be 1 or more.") }
    if let rank, rank < 1 { throw ValidationError("--resize must be 1 or more.") }
    if let density {
      guard density > 0, density <= 1 else {
        throw ValidationError("--density must be above 0 and at most 1.")
      }
      if !mode.needsDensity { throw ValidationError("\(mode.rawValue) takes no --density.") }
    } else if mode.needsDensity {
      throw ValidationError("\(mode.rawValue) needs --density.")
    }
  }

  func run() throws {
    var request = CombineRequest(adapters: try terms(), output: out)
    request.mode = mode
    request.rank = rank
    request.density = density
    request.seed = seed
    request.majoritySign = majoritySign
    request.base = base
    request.threads = threads ?? ProcessMemory.coreCount
    request.replacing = force
    CombineRendering(output: output, mode: mode).show(try CombineOperation(request).run())
  }

  /// One argument that is no adapter is a sum.
  private func terms() throws -> [WeightedAdapter] {
    let terms = adapters.map(WeightedAdapter.init(argument:))
    guard terms.count == 1, !FileSystem.exists(terms[0].path),
      adapters[0].contains(where: { " *".contains($0) })
    else { return terms }
    guard let sum = AdapterExpression.parse(adapters[0]) else {
      throw ValidationError(
        "\"\(adapters[0])\" is neither an adapter nor a sum such as \"a + 0.5*b - c\".")
    }
    return sum
  }
}

extension CombinationMode: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
}

extension MajoritySign: ExpressibleByArgument {}
