import Adapters
import ArgumentParser
import Operations
import Safetensors

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Recompute every check a file carries.",
    discussion: """
      Checks structure, checksums and fingerprints of a model or an adapter. --against names the \
      base of an adapter, or the model that this one should equal. Exit status 1 when something is \
      not as it should be.
      """)

  @Argument(help: ArgumentHelp("A model or an adapter.", valueName: "PATH"))
  var path: String

  @Option(name: .long, help: ArgumentHelp("The base, or another model.", valueName: "PATH"))
  var against: String?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let result = try Verification(path: path, against: against)
    if output.json {
      Terminal.putJSON([
        "sound": .bool(result.isSound), "checked": .int(result.checked),
        "problems": .array(result.problems.map { .string($0.sentence) }),
        "fingerprint": result.fingerprint.map { .string($0.description) } ?? .null,
      ])
    } else if !output.quiet {
      for problem in result.problems { Terminal.put("problem: " + problem.sentence) }
      if let fingerprint = result.fingerprint { Terminal.put("fingerprint: \(fingerprint)") }
      Terminal.put(
        "\(path): \(result.isSound ? "sound" : "NOT sound"), "
          + "\(Text.count(result.checked, "tensor")) checked")
    }
    if !result.isSound { throw ExitCode(1) }
  }
}

extension Verification.Problem {
  /// The problem as a sentence.
  var sentence: String {
    switch self {
    case .checkpoint(let problem): problem.sentence
    case .quantized(let problem): problem.sentence
    case .adapter(let problem): problem.sentence
    case .base(let stated, let found):
      "the adapter belongs to a base with fingerprint \(stated), and this one has \(found)"
    case .noFingerprint: "the container names no base to compare with"
    case .differs(let found, let other): "the fingerprints differ: \(found) and \(other)"
    case .undoRecord(let reason): "the undo record is damaged: \(reason)"
    case .unmatched(let tensor):
      "\(tensor.tensor) matches nothing in the base"
        + (tensor.nearest.map { "; the nearest is \($0)" } ?? "")
    }
  }
}

extension AdapterProblem {
  /// The problem as a sentence.
  var sentence: String {
    switch self {
    case .ambiguousPattern(let pattern):
      "\(pattern.patterns.joined(separator: ", ")) of \(pattern.table) all match "
        + "\(pattern.module) with different values"
    case .unknownSetting(let name, let value):
      "the setting \(name) = \(value) is not known and might change the result"
    case .module(let module, let tensor, let error):
      "module \(module)\(tensor.map { " on \($0)" } ?? ""): \(error.clause)"
    case .notFinite(let tensor, let index):
      "element \(index) of \(tensor) is infinite or no number; training has diverged"
    case .checksum(let tensor, let stated, let found):
      "the bytes of \(tensor) have CRC-32 \(found.hexadecimal) and should have "
        + stated.hexadecimal
    }
  }
}
