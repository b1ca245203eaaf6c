import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// `BASE+ADAPTER`: what a merge would write, without writing it.
@Suite struct SumDiffTests {
  private func merge(_ base: String, _ adapters: [WeightedAdapter], to out: String) throws {
    _ = try MergeOperation(
      MergePlan(MergeRequest(base: base, adapters: adapters, output: out, threads: 2))
    ).run()
  }

  private func sum(_ base: String, _ adapters: [WeightedAdapter], against path: String) throws
    -> DiffReport
  {
    try DiffOperation(
      DiffRequest(
        a: DiffOperand(path: base, adapters: adapters), b: DiffOperand(path: path), threads: 2)
    ).run()
  }

  @Test(arguments: Fixture.merges)
  func sumEqualsTheMerge(_ name: String) throws {
    let scratch = try Scratch()
    let (base, adapter) = (Fixture.base(of: name), WeightedAdapter(path: Fixture.path(name)))
    try merge(base, [adapter], to: scratch.file("out"))
    let report = try sum(base, [adapter], against: scratch.file("out"))
    #expect(report.isIdentical, "\(report.tensors.changed.map(\.tensor))")
    #expect(report.tensors.equal == (try readModel(scratch.file("out")).count))
  }

  @Test func weightsCount() throws {
    let scratch = try Scratch()
    let base = Fixture.path("llama/base")
    let adapters = [
      WeightedAdapter(path: Fixture.path("llama/lora"), weight: 0.5),
      WeightedAdapter(path: Fixture.path("llama/dora")),
    ]
    try merge(base, adapters, to: scratch.file("out"))
    #expect(try sum(base, adapters, against: scratch.file("out")).isIdentical)
    let half = [WeightedAdapter(path: adapters[0].path), adapters[1]]
    #expect(!(try sum(base, half, against: scratch.file("out")).isIdentical))
  }

  /// The sum on either side, and against its base: the numbers of the merged file.
  @Test func numbersAreThoseOfTheFile() throws {
    let scratch = try Scratch()
    let base = Fixture.path("llama/base")
    let adapters = [WeightedAdapter(path: Fixture.path("llama/lora"))]
    try merge(base, adapters, to: scratch.file("out"))
    let stored = try diff(base, scratch.file("out")) { $0.spectra = 3 }
    var request = DiffRequest(
      a: DiffOperand(path: base), b: DiffOperand(path: base, adapters: adapters), threads: 3)
    request.spectra = 3
    let computed = try DiffOperation(request).run()
    #expect(!stored.tensors.changed.isEmpty)
    #expect(computed.tensors.changed == stored.tensors.changed)
    #expect(computed.spectra == stored.spectra && stored.spectra.count == 3)
  }

  @Test func kindsDoNotMix() throws {
    let (base, lora) = (Fixture.path("llama/base"), Fixture.path("llama/lora"))
    #expect(throws: DiffError.differentKinds(adapter: lora, model: base)) { try diff(lora, base) }
    #expect(throws: DiffError.adapterAsBase(path: lora)) {
      try sum(lora, [WeightedAdapter(path: lora)], against: base)
    }
  }
}
