import ArgumentParser
import Kernels
import Operations

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Quantize a model to NF4, FP4 or int8, as transformers with bitsandbytes load it.",
    discussion: """
      Linear layers are quantized; what transformers leaves in 16 bits stays as it is: the output \
      head, embeddings, norms, experts and routers. --dtype casts the weights first, as transformers \
      does.
      """)

  @Argument(help: ArgumentHelp("The model.", valueName: "MODEL"))
  var model: String

  @Argument(help: ArgumentHelp("The output.", valueName: "OUT"))
  var out: String

  @OptionGroup var scheme: SchemeOptions

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Leave these modules alone: a regular expression from the start of a module's name, or the end "
        + "of one. Repeatable.", valueName: "pattern"))
  var skip: [String] = []

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let start = ContinuousClock.now
    var request = QuantizeRequest(
      model: model, output: out, scheme: try scheme.chosen(), threads: writing.workers)
    request.skip = skip
    request.element = writing.dtype.element
    request.maximumShardSize = writing.maximumShardSize?.bytes
    request.replacing = writing.force
    let rendering = QuantizeRendering(output: output)
    if writing.dryRun {
      rendering.show(try QuantizePlan(request, looksAtWeights: false))
      return
    }
    let report = try ProgressBar.run("quantizing", isWanted: !output.quiet && !output.noProgress) {
      try QuantizeOperation(request).run(progress: $0)
    }
    rendering.show(report, seconds: (ContinuousClock.now - start) / .seconds(1))
  }
}

/// How weights are quantized.
struct SchemeOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("How.", valueName: "nf4|fp4|int8"))
  var scheme: QuantizationScheme.Kind = .nf4

  @Option(
    name: .customLong("block-size"), help: "Elements that share a scale, in 4 bits: 32 to 4096.")
  var blockSize = 64

  @Flag(
    name: .customLong("no-double-quant"), help: "Keep the scales in 32 bits instead of 8.")
  var noDoubleQuantization = false

  func validate() throws {
    _ = try chosen()
  }

  func chosen() throws -> QuantizationScheme {
    do {
      return try QuantizationScheme(
        scheme, blockSize: blockSize, doubleQuantized: !noDoubleQuantization)
    } catch {
      throw ValidationError("--block-size must be a power of two from 32 to 4096.")
    }
  }
}

extension QuantizationScheme.Kind: ExpressibleByArgument {}
