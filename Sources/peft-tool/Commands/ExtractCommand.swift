import ArgumentParser
import Operations

struct ExtractCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "extract",
    abstract: "Find the adapter that best explains TUNED − BASE.",
    discussion: """
      Every changed matrix gets a LoRA by the SVD of its difference; changed biases, norms, \
      embeddings and heads are stored whole. With --method auto a difference that is a 1LoRA or an \
      SBoRA is stored as one, which needs no rank, and one that is a DoRA of --rank as that. OUT is a PEFT folder, or a container when it ends with \
      .safetensors.

      Example: peft-tool extract llama llama-tuned my-lora --rank 16
      """)

  @Argument(help: ArgumentHelp("The base model.", valueName: "BASE"))
  var base: String

  @Argument(help: ArgumentHelp("The tuned model.", valueName: "TUNED"))
  var tuned: String

  @Argument(help: ArgumentHelp("The output.", valueName: "OUT"))
  var out: String

  @Option(name: .long, help: ArgumentHelp("Rank of every module.", valueName: "R"))
  var rank: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Smallest ranks that keep this part of the squared norm, such as 0.95.", valueName: "X"))
  var energy: Double?

  @Option(name: .long, help: "The method of the adapter.")
  var method: ExtractRequest.Method = .auto

  @Option(name: .long, help: "Worker threads; by default one per core. Never changes a byte.")
  var threads: Int?

  @Flag(name: .long, help: "Replace OUT if it exists.")
  var force = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if rank != nil, energy != nil {
      throw ValidationError("--rank and --energy exclude each other.")
    }
    if let rank, rank < 1 { throw ValidationError("--rank must be 1 or more.") }
    if let energy, !(energy > 0 && energy <= 1) {
      throw ValidationError("--energy must be above 0 and at most 1.")
    }
    if let threads, threads < 1 { throw ValidationError("--threads must be 1 or more.") }
  }

  func run() throws {
    var request = ExtractRequest(base: base, tuned: tuned, output: out)
    request.method = method
    request.size = rank.map { .rank($0) } ?? energy.map { .energy($0) }
    request.threads = threads ?? ProcessMemory.coreCount
    request.replacing = force
    ExtractRendering(output: output, wanted: method).show(try ExtractOperation(request).run())
  }
}

extension ExtractRequest.Method: ExpressibleByArgument {}
