import Adapters
import Foundation
import Safetensors
import Testing

@testable import Operations

@Suite struct ContainerTests {
  private func merge(
    _ adapter: String, _ out: String, _ change: (inout MergeRequest) -> Void = { _ in }
  ) throws -> MergeReport {
    var request = MergeRequest(
      base: Fixture.path("llama/base"), adapters: [WeightedAdapter(path: adapter)], output: out,
      threads: 2)
    change(&request)
    return try MergeOperation(MergePlan(request)).run()
  }

  @Test(arguments: ["llama/lora", "bert/lora_bias_all", "llama/prompt", "vit/dora"])
  func thereAndBack(_ name: String) throws {
    let scratch = try Scratch()
    let file = scratch.file("adapter.safetensors")
    _ = try AdapterConversion(input: Fixture.path(name), output: file, target: nil).run()
    _ = try AdapterConversion(input: file, output: scratch.file("folder"), target: nil).run()
    let back = try readFolder(scratch.file("folder"))
    #expect(
      try back["adapter_config.json"]
        == InputFile(path: Fixture.path(name + "/adapter_config.json")).readAll())
    #expect(
      try readModel(scratch.file("folder/adapter_model.safetensors"))
        == readModel(Fixture.path(name + "/adapter_model.safetensors")))
    // The other way round, the container is the same file.
    let again = scratch.file("again.safetensors")
    _ = try AdapterConversion(input: scratch.file("folder"), output: again, target: .container)
      .run()
    #expect(try InputFile(path: again).readAll() == InputFile(path: file).readAll())
  }

  @Test func mergesLikeTheFolder() throws {
    let scratch = try Scratch()
    let file = scratch.file("adapter.safetensors")
    _ = try AdapterConversion(
      input: Fixture.path("llama/lora"), output: file, target: nil,
      base: Fixture.path("llama/base")
    ).run()
    let a = try merge(Fixture.path("llama/lora"), scratch.file("a"))
    let b = try merge(file, scratch.file("b"))
    #expect(try readFolder(scratch.file("a")) == readFolder(scratch.file("b")))
    #expect(a.fingerprint == b.fingerprint)
    #expect(try a.fingerprint == Fingerprint(of: Checkpoint(path: scratch.file("a"))))
  }

  /// A byte changed anywhere in a tensor is found before OUT appears.
  @Test func damagedTensor() throws {
    let scratch = try Scratch()
    let file = scratch.file("adapter.safetensors")
    _ = try AdapterConversion(input: Fixture.path("llama/lora"), output: file, target: nil).run()
    var bytes = try InputFile(path: file).readAll()
    bytes[bytes.count - 1000] ^= 1
    try Data(bytes).write(to: URL(filePath: file))
    #expect(throws: AdapterError.self) { try merge(file, scratch.file("out")) }
    #expect(scratch.names == ["adapter.safetensors"])
    #expect(try !AdapterInspection(path: file, base: nil).isSound)
  }

  @Test func otherBase() throws {
    let scratch = try Scratch()
    let file = scratch.file("adapter.safetensors")
    // The fingerprint of a merged model: same names and shapes, other bytes.
    _ = try merge(Fixture.path("llama/lora_rslora"), scratch.file("other"))
    _ = try AdapterConversion(
      input: Fixture.path("llama/lora"), output: file, target: nil, base: scratch.file("other")
    ).run()
    #expect(throws: MergeError.self) { try merge(file, scratch.file("out")) }
    #expect(!FileSystem.exists(scratch.file("out")))
    let report = try merge(file, scratch.file("out")) { $0.allowsOtherBase = true }
    #expect(report.warnings.contains { if case .otherBase = $0 { true } else { false } })
  }

  /// The base's fingerprint does not depend on its shards, and is found in a merge with every dtype.
  @Test func fingerprintIsOfTheTensorsAlone() throws {
    let scratch = try Scratch()
    let file = scratch.file("adapter.safetensors")
    let tensors = try readModel(Fixture.path("llama/base"))
    try writeModel(scratch.file("single"), config: ["model_type": "llama"], tensors)
    _ = try AdapterConversion(
      input: Fixture.path("llama/lora"), output: file, target: nil, base: scratch.file("single")
    ).run()
    _ = try merge(file, scratch.file("out"))
    _ = try merge(file, scratch.file("wide")) { $0.element = .f32 }
  }
}
