import Foundation
import Safetensors
import Testing

/// The built tool, run as a user runs it.
struct Tool {
  struct Result {
    var status: Int32
    var output: String
    var errors: String

    /// Standard output as JSON.
    var json: JSONValue? { try? JSONValue.parse(output) }
  }

  static let executable: String = {
    let tests = URL(filePath: CommandLine.arguments[0])
    return tests.deletingLastPathComponent().appending(path: "peft-tool").path
  }()

  static let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures").path

  static func run(_ arguments: String...) throws -> Result { try run(arguments) }

  static func run(_ arguments: [String]) throws -> Result {
    let process = Process()
    process.executableURL = URL(filePath: executable)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment
      .merging(["COLUMNS": "80"]) { $1 }
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    // Both are short: neither fills its pipe.
    let out = output.fileHandleForReading.readDataToEndOfFile()
    let err = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Result(
      status: process.terminationStatus, output: String(decoding: out, as: UTF8.self),
      errors: String(decoding: err, as: UTF8.self))
  }
}

/// A folder that is removed with the test.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/peft-tool-cli-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }
}

private let base = Tool.fixtures + "/llama/base"
private let lora = Tool.fixtures + "/llama/lora"

@Suite struct MergeCommandTests {
  @Test func jsonKeys() throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run("merge", base, lora, folder.file("out"), "--json")
    #expect(result.status == 0)
    #expect(result.errors == "")
    let json = try #require(result.json)
    #expect(json["changed"]?.array?.count == 14)
    let first = try #require(json["changed"]?.array?.first)
    #expect(first["tensor"]?.string == "model.layers.0.mlp.down_proj.weight")
    for key in ["delta_norm", "weight_norm", "retention"] { #expect(first[key]?.double != nil) }
    #expect(json["copied"]?.int == 7)
    #expect(json["unused"]?.array == [])
    #expect(json["undo"]?.isNull == true)
    #expect(json["bytes_written"]?.int ?? 0 > 168_576)
    #expect(json["peak_memory_bytes"]?.int ?? 0 > 0)
    #expect(json["seconds"]?.double != nil)
    #expect(json["output_fingerprint"]?.string?.hasPrefix("crc32:") == true)
  }

  @Test func dryRunWritesNothing() throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run("merge", base, lora, folder.file("out"), "--dry-run")
    #expect(result.status == 0)
    #expect(result.output.contains("would change 14 tensors"))
    #expect(!FileSystem.exists(folder.file("out")))
  }

  @Test func quietSaysNothing() throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run("merge", base, lora, folder.file("out"), "--quiet")
    #expect(result.status == 0 && result.output == "" && result.errors == "")
  }

  @Test func weightInTheName() throws {
    let folder = try TemporaryFolder()
    let half = try Tool.run("merge", base, lora + "@0.5", folder.file("half"), "--json")
    let whole = try Tool.run("merge", base, lora, folder.file("whole"), "--json")
    let norm = { (result: Tool.Result) in
      result.json?["changed"]?.array?.first?["delta_norm"]?.double ?? 0
    }
    #expect(abs(norm(half) / norm(whole) - 0.5) < 1e-6)
  }
}

/// Every failure: exit status, what it says, and that nothing is left behind.
@Suite struct FailureTests {
  struct Case: CustomTestStringConvertible {
    var arguments: [String]
    var status: Int32
    var code: String
    var says: String

    var testDescription: String { arguments.joined(separator: " ") }
  }

  static let cases = [
    Case(
      arguments: ["merge", "/nowhere/base", lora, "OUT"], status: 66, code: "not_found",
      says: "error: there is no /nowhere/base\n"),
    Case(
      arguments: ["merge", base, "/nowhere/adapter", "OUT"], status: 66, code: "not_found",
      says: "error: there is no /nowhere/adapter\n"),
    Case(
      arguments: ["merge", base, base, "OUT"], status: 66, code: "no_adapter",
      says: "error: \(base) is no PEFT adapter: it has no adapter_config.json\n"),
    Case(
      arguments: ["merge", base, Tool.fixtures + "/bert/lora", "OUT"], status: 65,
      code: "unmatched",
      says: """
        error: \(Tool.fixtures)/bert/lora: 16 of 16 tensors match nothing in the base, the first is \
        base_model.model.bert.encoder.layer.0.attention.output.dense.lora_A.weight; the nearest \
        base tensor is model.layers.0.input_layernorm.weight. Is this the adapter's base? \
        --allow-unused merges the rest

        """),
    Case(
      arguments: ["merge", base, lora + "@0", "OUT"], status: 65, code: "changes_nothing",
      says: """
        error: merging \(lora) changes no element of the base: the change is zero, or too small for \
        the stored type (try --dtype f32)

        """),
    Case(
      arguments: ["merge", base, Tool.fixtures + "/llama/prompt", "OUT"], status: 65,
      code: "not_mergeable",
      says: """
        error: \(Tool.fixtures)/llama/prompt is Prompt tuning, which cannot be merged: a prompt is \
        extra input, not a change of weights

        """),
    Case(
      arguments: ["merge", base, lora, "/nowhere/out"], status: 73, code: "cannot_create",
      says: "error: /nowhere/.out.partial-"),
    Case(
      arguments: ["merge", base, lora, "OUT", "--min-retention", "1.5"], status: 1,
      code: "retention", says: "keeps "),
    Case(
      arguments: ["merge", base, lora, "OUT.safetensors"], status: 73, code: "output",
      says: "must be a folder"),
    Case(
      arguments: ["convert", Tool.fixtures + "/llama/1lora", "OUT", "--to", "lora"], status: 64,
      code: "needs_base",
      says: "1LoRA does not say the size of model.layers.0.self_attn.q_proj; add --base MODEL\n"),
    Case(
      arguments: [
        "convert", Tool.fixtures + "/llama/mora_fork_6", "OUT", "--to", "lora", "--base", base,
      ], status: 65, code: "no_equivalent", says: "its change has full rank; "),
    Case(
      arguments: ["convert", base + "/model-00001-of-00003.safetensors", "OUT"], status: 65,
      code: "unknown_naming", says: "follow none of the schemes looked for: kohya (lora_unet_"),
    Case(
      arguments: ["inspect", "/nowhere"], status: 66, code: "not_found",
      says: "error: there is no /nowhere\n"),
  ]

  @Test(arguments: cases)
  func failures(_ failure: Case) throws {
    let folder = try TemporaryFolder()
    let arguments = failure.arguments.map {
      $0.hasPrefix("OUT") ? folder.file("out" + $0.dropFirst(3)) : $0
    }
    let plain = try Tool.run(arguments)
    #expect(plain.status == failure.status)
    #expect(plain.errors.contains(failure.says), "\(plain.errors)")
    #expect(plain.output == "")
    let json = try Tool.run(arguments + ["--json"])
    #expect(json.status == failure.status)
    let error = try #require(json.json?["error"])
    #expect(error["code"]?.string == failure.code)
    #expect(error["message"]?.string?.isEmpty == false)
    #expect(error["path"] != nil && error["tensor"] != nil)
    #expect(try FileSystem.names(in: folder.path) == [])
  }

  @Test(arguments: [["merge"], ["merge", "a", "b"], ["merge", "a", "b", "c", "--threads", "0"]])
  func wrongUsage(_ arguments: [String]) throws {
    let result = try Tool.run(arguments)
    #expect(result.status == 64)
    #expect(result.errors.contains("Usage: peft-tool merge BASE ADAPTER[@WEIGHT]... OUT"))
  }

  @Test func existingOutput() throws {
    let folder = try TemporaryFolder()
    let out = folder.file("out")
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
    let result = try Tool.run("merge", base, lora, out)
    #expect(result.status == 73)
    #expect(result.errors == "error: \(out) exists; --force replaces it\n")
    #expect(try Tool.run("merge", base, lora, out, "--force").status == 0)
  }
}

@Suite struct InspectCommandTests {
  @Test func adapterWithBase() throws {
    let result = try Tool.run("inspect", lora, "--base", base)
    #expect(result.status == 0)
    #expect(
      result.output.contains(
        "trainable params: 7,808 || all params: 92,096 || trainable%: 8.4781\n"))
    let json = try #require(Tool.run("inspect", lora, "--base", base, "--json").json)
    #expect(json["kind"]?.string == "adapter")
    #expect(json["method"]?.string == "LORA")
    #expect(json["trainable_parameters"]?.int == 7808)
    #expect(json["all_parameters"]?.int == 92096)
    #expect(json["sound"]?.bool == true)
    #expect(json["problems"]?.array == [] && json["unmatched"]?.array == [])
    let module = try #require(json["modules"]?.array?.first)
    #expect(module["module"]?.string == "model.layers.0.mlp.down_proj")
    #expect(module["rank"]?.int == 4 && module["scale"]?.double == 2)
    #expect(module["parameters"]?.int == 704 && module["tensors"]?.array?.count == 2)
  }

  @Test func model() throws {
    let json = try #require(Tool.run("inspect", base, "--json").json)
    #expect(json["kind"]?.string == "model")
    #expect(json["parameters"]?.int == 84288 && json["bytes"]?.int == 168_576)
    #expect(json["dtypes"]?["BF16"]?.int == 84288)
    #expect(json["tensors"]?.int == 21 && json["shards"]?.int == 3)
    #expect(json["quantization"]?.isNull == true && json["sound"]?.bool == true)
    let listed = try #require(Tool.run("inspect", base, "--tensors", "--json").json)
    let first = try #require(listed["tensors"]?.array?.first)
    for key in ["name", "dtype", "shape", "file", "offset", "bytes"] { #expect(first[key] != nil) }
  }

  @Test func advice() throws {
    let adapter = Tool.fixtures + "/llama/1lora"
    let json = try #require(Tool.run("inspect", adapter, "--for", "vllm", "--json").json)
    let first = try #require(json["advice"]?.array?.first)
    #expect(first["consumer"]?.string == "vllm" && first["effect"]?.string == "refused")
    #expect(
      first["command"]?.string == "peft-tool convert \(adapter) OUT --to lora --base BASE")
    #expect(first["reason"]?.string == "the method, 1LoRA")
    let fine = try Tool.run("inspect", lora, "--for", "vllm")
    #expect(fine.status == 0 && fine.output.hasSuffix("  vllm takes it as it is\n"))
  }

  @Test func wrongBaseIsUnsound() throws {
    let result = try Tool.run("inspect", Tool.fixtures + "/bert/lora", "--base", base, "--json")
    #expect(result.status == 1)
    #expect(result.json?["unmatched"]?.array?.count == 16)
    #expect(result.json?["sound"]?.bool == false)
  }
}

@Suite struct VerifyAndConvertTests {
  @Test func containerThereAndBack() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("a.safetensors")
    #expect(try Tool.run("convert", lora, file, "--base", base).status == 0)
    #expect(try Tool.run("verify", file, "--against", base).status == 0)
    let other = try Tool.run(
      "verify", file, "--against", Tool.fixtures + "/qwen/base", "--json")
    #expect(other.status == 1 && other.json?["sound"]?.bool == false)
    #expect(try Tool.run("merge", base, file, folder.file("out")).status == 0)
    let model = try Tool.run("verify", folder.file("out"), "--json")
    #expect(model.json?["sound"]?.bool == true && model.json?["checked"]?.int == 21)
    #expect(try Tool.run("verify", folder.file("out"), "--against", base).status == 1)
  }
}

@Suite struct HelpTests {
  @Test func bareRunShowsTheCommands() throws {
    let result = try Tool.run()
    #expect(result.status == 0)
    for command in ["merge", "inspect", "verify", "convert"] {
      #expect(result.output.contains("  \(command)"))
    }
  }

  /// The interface, letter by letter: `Tests/CLITests/Help/<command>.txt`.
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Help")

  /// The interface of every command in the folder.
  static let commands = ((try? FileSystem.names(in: folder.path)) ?? []).map { $0.dropLast(4) }
    .map(String.init)

  @Test(arguments: commands)
  func helpOf(_ command: String) throws {
    let result = try Tool.run(command, "--help")
    #expect(result.status == 0)
    let file = Self.folder.appending(path: command + ".txt")
    let expected = try String(contentsOf: file, encoding: .utf8)
    let (found, wanted) = (
      result.output.split(separator: "\n", omittingEmptySubsequences: false),
      expected.split(separator: "\n", omittingEmptySubsequences: false)
    )
    #expect(found.count == wanted.count)
    for (a, b) in zip(found, wanted) { #expect(a == b) }
  }
}

@Suite struct ReadmeTests {
  /// The table of methods in the README is what the registry says.
  @Test func methodsTable() throws {
    let readme = try String(
      contentsOf: URL(filePath: Tool.fixtures).deletingLastPathComponent()
        .appending(path: "README.md"), encoding: .utf8)
    let table = try Tool.run("methods", "--markdown").output
    #expect(readme.contains("<!-- methods -->\n\(table)<!-- /methods -->"))
  }
}
