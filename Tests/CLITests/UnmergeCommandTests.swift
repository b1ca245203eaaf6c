import Foundation
import Safetensors
import Testing

private let base = Tool.fixtures + "/llama/base"
private let lora = Tool.fixtures + "/llama/lora"
private let dora = Tool.fixtures + "/llama/dora"

@Suite struct UnmergeCommandTests {
  @Test func thereAndBack() throws {
    let folder = try TemporaryFolder()
    let (merged, back) = (folder.file("merged"), folder.file("back"))
    let merge = try Tool.run("merge", base, dora, merged, "--undo", "--json")
    #expect(merge.status == 0)
    let record = try #require(merge.json?["undo"])
    #expect(record["path"]?.string == merged + "/undo.safetensors")
    #expect(record["bytes"]?.int == (try InputFile(path: merged + "/undo.safetensors").size))

    let plan = try Tool.run("unmerge", merged, dora, back, "--dry-run")
    #expect(
      plan.status == 0 && plan.output.contains("would restore, by \(merged)/undo.safetensors"))
    #expect(!FileSystem.exists(back))

    let result = try Tool.run("unmerge", merged, dora, back, "--json")
    #expect(result.status == 0 && result.errors == "")
    let json = try #require(result.json)
    #expect(json["exact"]?.bool == true)
    #expect(json["restored"]?.int == 14 && json["copied"]?.int == 7)
    #expect(json["bytes_written"]?.int ?? 0 > 168_576 && json["seconds"]?.double != nil)
    #expect(try Tool.run("verify", back, "--against", base).status == 0)
    for name in try FileSystem.names(in: base) {
      let (a, b) = try (InputFile(path: base + "/" + name), InputFile(path: back + "/" + name))
      #expect(try a.readAll() == b.readAll(), "\(name)")
    }
  }

  @Test func withoutRecord() throws {
    let folder = try TemporaryFolder()
    let (merged, back) = (folder.file("merged"), folder.file("back"))
    #expect(try Tool.run("merge", base, lora, merged, "--quiet").status == 0)
    let result = try Tool.run("unmerge", merged, lora, back, "--json")
    #expect(result.status == 0)
    #expect(result.json?["exact"]?.bool == false)
    #expect(result.errors.contains("ulp(w')/2 + ulp(w)/2"))
  }

  @Test func inspectsAndVerifiesRecords() throws {
    let folder = try TemporaryFolder()
    let merged = folder.file("merged")
    let record = merged + "/undo.safetensors"
    #expect(try Tool.run("merge", base, dora, merged, "--undo", "--quiet").status == 0)
    let json = try #require(Tool.run("inspect", record, "--json").json)
    #expect(json["kind"]?.string == "undo" && json["sound"]?.bool == true)
    #expect(json["problems"]?.array == [])
    let codings = try #require(json["codings"]?.array)
    #expect(codings.compactMap { $0["coding"]?.string } == ["same", "candidates"])
    for other in [base, merged] {
      #expect(try Tool.run("verify", record, "--against", other).status == 0)
    }
    #expect(try Tool.run("verify", record, "--against", Tool.fixtures + "/qwen/base").status == 1)
    var bytes = try InputFile(path: record).readAll()
    bytes[bytes.count - 9] ^= 4
    try Data(bytes).write(to: URL(filePath: record))
    let damaged = try Tool.run("inspect", record, "--json")
    #expect(damaged.status == 1 && damaged.json?["sound"]?.bool == false)
    #expect(try Tool.run("verify", record).status == 1)
  }

  /// MERGED stands for a merge of `lora` and `dora` with a record, PLAIN for one without.
  static let failures: [(arguments: [String], status: Int32, code: String)] = [
    (["unmerge", "/nowhere", lora, "OUT"], 66, "not_found"),
    (["unmerge", "MERGED", lora, "OUT"], 65, "other_adapter"),
    (["unmerge", "MERGED", dora, lora, "OUT"], 65, "other_adapter"),
    (["unmerge", "MERGED", lora, dora + "@0.5", "OUT"], 65, "other_adapter"),
    (["unmerge", "MERGED", lora, dora, "OUT", "--no-record"], 65, "not_reversible"),
    (["unmerge", "MERGED", lora, dora, "OUT", "--record", "/nowhere"], 66, "not_found"),
    (["unmerge", "PLAIN", lora, dora, "OUT", "--record", "MERGED/undo.safetensors"], 0, ""),
    (
      ["unmerge", base, lora, dora, "OUT", "--record", "MERGED/undo.safetensors"], 65, "other_model"
    ),
    (["merge", base, lora, "OUT", "--undo", "--dtype", "f32"], 65, "undo_dtype"),
    (["merge", base, lora, "OUT.safetensors", "--undo"], 73, "output"),
  ]

  @Test func refusals() throws {
    let folder = try TemporaryFolder()
    let (merged, plain) = (folder.file("merged"), folder.file("plain"))
    #expect(try Tool.run("merge", base, lora, dora, merged, "--undo", "--quiet").status == 0)
    #expect(try Tool.run("merge", base, lora, dora, plain, "--quiet").status == 0)
    for (index, failure) in Self.failures.enumerated() {
      let output = folder.file("out\(index)")
      let arguments = failure.arguments.map {
        $0.replacingOccurrences(of: "MERGED", with: merged)
          .replacingOccurrences(of: "PLAIN", with: plain)
          .replacingOccurrences(of: "OUT", with: output)
      }
      let result = try Tool.run(arguments + ["--json"])
      #expect(result.status == failure.status, "\(failure.arguments): \(result.errors)")
      #expect(result.json?["error"]?["code"]?.string ?? "" == failure.code)
      let left = try FileSystem.names(in: folder.path).filter { $0.contains("out\(index)") }
      #expect(left.isEmpty == (failure.status != 0), "\(failure.arguments) left \(left)")
    }
  }

  @Test(arguments: [
    ["unmerge"], ["unmerge", "a", "b"], ["unmerge", "a", "b", "c", "--dtype", "f32"],
    ["unmerge", "a", "b", "c", "--record", "d", "--no-record"],
  ])
  func wrongUsage(_ arguments: [String]) throws {
    let result = try Tool.run(arguments)
    #expect(result.status == 64)
    #expect(result.errors.contains("Usage: peft-tool unmerge MERGED ADAPTER[@WEIGHT]... OUT"))
  }
}
