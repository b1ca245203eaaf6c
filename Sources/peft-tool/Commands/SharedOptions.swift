import ArgumentParser
import Kernels
import Operations
import Safetensors

/// Options of every command.
struct OutputOptions: ParsableArguments {
  @Flag(
    name: .long, help: "Print one JSON object on standard output; messages go to standard error.")
  var json = false

  @Flag(name: .long, help: "Print errors only.")
  var quiet = false

  @Flag(name: .long, help: "Print more.")
  var verbose = false

  @Flag(name: .customLong("no-progress"), help: "Show no progress bar.")
  var noProgress = false
}

/// Options of the commands that write a model.
struct WritingOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Element type of the output.", valueName: "keep|f32|f16|bf16"))
  var dtype: ElementChoice = .keep

  @Option(
    name: .long,
    help: "Worker threads; by default as many as keep cores and disk busy. Never changes a byte.")
  var threads: Int?

  @Option(
    name: .customLong("max-memory"),
    help: ArgumentHelp(
      "Use so few workers that their buffers stay below this, such as 100MB.", valueName: "size"))
  var maximumMemory: ByteCount?

  @Option(
    name: .customLong("max-shard-size"),
    help: ArgumentHelp(
      "Largest shard, such as 5GB; by default the input's shards.", valueName: "size"))
  var maximumShardSize: ByteCount?

  @Flag(name: .customLong("dry-run"), help: "Print the plan and write nothing.")
  var dryRun = false

  @Flag(name: .long, help: "Replace OUT if it exists.")
  var force = false

  /// Bytes that a worker's buffers take: a block of output, the base's rows under it, and their f32
  /// forms.
  private static let workerBytes = 16 << 20

  /// Workers that the options allow. By default two per core, so that one computes while another waits
  /// for the disk, and no more than eight, which keeps any disk busy in little memory.
  var workers: Int {
    let wanted = threads ?? min(2 * ProcessMemory.coreCount, 8)
    guard let maximumMemory else { return wanted }
    return max(1, min(wanted, maximumMemory.bytes / Self.workerBytes))
  }

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be 1 or more.") }
  }
}

/// The value of `--dtype`.
enum ElementChoice: String, ExpressibleByArgument, CaseIterable {
  case keep, f32, f16, bf16

  var element: ElementType? { ElementType(rawValue: rawValue) }
}

/// A size on the command line.
struct ByteCount: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    guard let bytes = try? ByteSize.parse(argument), bytes > 0 else { return nil }
    self.bytes = bytes
  }
}
