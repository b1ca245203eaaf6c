import Adapters
import Safetensors
import Testing

@testable import Operations

/// Real adapters, merged with a record: the base's folder comes back, file by file and byte by byte.
@Suite struct GoldenUnmergeTests {
  @Test(arguments: Fixture.merges)
  func everyFileComesBack(_ name: String) throws {
    let scratch = try Scratch()
    let adapter = WeightedAdapter(path: Fixture.path(name))
    let run = UnmergeRun(Fixture.base(of: name), [adapter], in: scratch)
    let merge = try run.merge()
    #expect(merge.undo?.path == run.record)
    #expect(merge.undo?.bytes == (try InputFile(path: run.record).size))
    let report = try run.unmerge()
    #expect(report.exact && report.kept.isEmpty)
    #expect(report.restored > 0)
    #expect(try differences(run.base, run.back) == [])
    #expect(try report.fingerprint == Fingerprint(of: Checkpoint(path: run.base)))

    // The record changes nothing about the merge.
    let plain = scratch.file("plain")
    _ = try MergeOperation(
      MergePlan(MergeRequest(base: run.base, adapters: [adapter], output: plain, threads: 2))
    ).run()
    #expect(try differences(run.merged, plain) == ["undo.safetensors"])
  }

  /// Of usual adapters only norms and embeddings go another way than that of candidates.
  @Test(arguments: [
    "llama/lora", "llama/dora", "gpt2/lora", "gpt2/dora", "mixtral/lora_params", "vit/dora",
  ])
  func candidatesWherePossible(_ name: String) throws {
    let scratch = try Scratch()
    let run = UnmergeRun(
      Fixture.base(of: name), [WeightedAdapter(path: Fixture.path(name))], in: scratch)
    try run.merge()
    let record = try UndoRecord(path: run.record)
    let codings = Set(record.manifest.tensors.map(\.coding))
    #expect(codings.isSubset(of: [.same, .candidates]), "\(codings)")
    let hasFactors = record.file.header.tensors.contains { $0.name.hasPrefix("factors/") }
    #expect(hasFactors == name.hasSuffix("dora"))
  }
}
