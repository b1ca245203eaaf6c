import Adapters
import Foundation
import Safetensors
import Testing

@testable import Operations

/// Records that are damaged or belong to something else: refused, and nothing is written.
@Suite struct RefusedRecordTests {
  private static let lora = WeightedAdapter(path: Fixture.path("llama/lora"))

  private func merged(_ name: String = "llama/dora") throws -> UnmergeRun {
    let run = UnmergeRun(
      Fixture.base(of: name), [WeightedAdapter(path: Fixture.path(name))], in: try Scratch())
    try run.merge()
    return run
  }

  private func expectRefusal(
    _ run: UnmergeRun, _ what: String, _ change: (inout UnmergeRequest) -> Void = { _ in },
    isExpected: (UndoError) -> Bool
  ) {
    do {
      try run.unmerge(change)
      Issue.record("\(what): should have been refused")
    } catch let error as UndoError {
      #expect(isExpected(error), "\(what): \(error)")
    } catch {
      Issue.record("\(what): \(error)")
    }
    #expect(!FileSystem.exists(run.back))
    #expect(run.scratch.names.allSatisfy { !$0.hasPrefix(".") }, "\(what): leftovers")
  }

  private func isDamaged(_ error: UndoError) -> Bool {
    if case .damaged = error { true } else { false }
  }

  /// Every byte of the record's header and of its ends, and many between.
  @Test func damagedByte() throws {
    let run = try merged()
    let size = try InputFile(path: run.record).size
    let headerSize = try SafetensorsFile(path: run.record).header.bodyStart
    var places = Array(0..<16) + Array(stride(from: 16, to: headerSize, by: 101))
    places += Array(stride(from: headerSize, to: size, by: 97)) + Array(size - 8..<size)
    for place in places {
      try flip(run.record, at: place, 1 << UInt8(place % 8))
      do {
        _ = try UndoRecord(path: run.record)
        Issue.record("byte \(place) of \(size) was not missed")
      } catch let error as UndoError {
        if case .damaged = error {} else { Issue.record("byte \(place): \(error)") }
      } catch {
        Issue.record("byte \(place): \(error)")
      }
      try flip(run.record, at: place, 1 << UInt8(place % 8))
    }
    for place in [3, headerSize / 2, headerSize + 40, size - 1] {
      try flip(run.record, at: place)
      expectRefusal(run, "byte \(place)", isExpected: isDamaged)
      try flip(run.record, at: place)
    }
    #expect(try run.unmerge().exact)
  }

  @Test func cutOrLonger() throws {
    let run = try merged()
    let bytes = try InputFile(path: run.record).readAll()
    for changed in [[], Array(bytes.dropLast()), bytes + [0], Array(bytes[..<(bytes.count / 2)])] {
      try Data(changed).write(to: URL(filePath: run.record))
      expectRefusal(run, "\(changed.count) bytes", isExpected: isDamaged)
    }
    // Some other safetensors file.
    try Data(InputFile(path: Fixture.path("llama/lora/adapter_model.safetensors")).readAll())
      .write(to: URL(filePath: run.record))
    expectRefusal(run, "another file", isExpected: isDamaged)
  }

  @Test func otherAdapters() throws {
    let run = try merged("llama/lora")
    expectRefusal(run, "none", { $0.adapters.append(Self.lora) }) {
      if case .adapterCount(_, recorded: 1, given: 2) = $0 { true } else { false }
    }
    expectRefusal(run, "tensors", { $0.adapters = [.init(path: Fixture.path("llama/lora_regex"))] })
    {
      if case .otherAdapter(_, _, .tensors) = $0 { true } else { false }
    }
    expectRefusal(run, "weight", { $0.adapters = [.init(path: Self.lora.path, weight: 0.5)] }) {
      if case .otherAdapter(_, _, .weight(recorded: 1, given: 0.5)) = $0 { true } else { false }
    }
    let copy = run.scratch.file("copy")
    try FileManager.default.copyItem(atPath: Self.lora.path, toPath: copy)
    let config = copy + "/adapter_config.json"
    let text = String(decoding: try InputFile(path: config).readAll(), as: UTF8.self)
    // Other white space is no other configuration.
    try Data((text + "\n\n").utf8).write(to: URL(filePath: config))
    #expect(try run.unmerge { $0.adapters = [.init(path: copy)] }.exact)
    try FileManager.default.removeItem(atPath: run.back)
    try Data(text.replacing("\"lora_alpha\": ", with: "\"lora_alpha\": 1").utf8)
      .write(to: URL(filePath: config))
    expectRefusal(run, "configuration", { $0.adapters = [.init(path: copy)] }) {
      if case .otherAdapter(_, _, .configuration) = $0 { true } else { false }
    }
  }

  @Test func otherOrder() throws {
    let scratch = try Scratch()
    let (a, b) = (Self.lora, WeightedAdapter(path: Fixture.path("llama/dora")))
    let run = UnmergeRun(Fixture.path("llama/base"), [a, b], in: scratch)
    try run.merge()
    expectRefusal(run, "order", { $0.adapters = [b, a] }) {
      if case .otherAdapter = $0 { true } else { false }
    }
  }

  /// One bit of one tensor of the merged model: changed, copied, and one that is not needed.
  @Test(arguments: [
    ("llama/lora", "model.layers.1.mlp.up_proj.weight"), ("llama/lora", "model.norm.weight"),
    ("llama/lora", "model.embed_tokens.weight"), ("qwen/lora_modules_to_save", ""),
    ("llama/trainable_tokens", "model.embed_tokens.weight"),
  ])
  func otherModel(_ name: String, _ tensor: String) throws {
    let run = try merged(name)
    let checkpoint = try Checkpoint(path: run.merged)
    let record = try UndoRecord(path: run.record)
    let others = record.manifest.others.map(\.name)
    #expect(!tensor.isEmpty || !others.isEmpty)
    for name in tensor.isEmpty ? others : [tensor] {
      let found = try #require(checkpoint[name])
      let range = checkpoint.file(of: found).absoluteRange(of: found.info)
      for place in [range.lowerBound, range.upperBound - 1] {
        try flip(checkpoint.file(of: found).path, at: place, 0x10)
        expectRefusal(run, "\(name) at \(place)") {
          if case .otherModel(_, tensor: name) = $0 { true } else { false }
        }
        try flip(checkpoint.file(of: found).path, at: place, 0x10)
      }
    }
    #expect(try run.unmerge().exact)
  }

  /// The record of another merge of the same base.
  @Test func recordOfAnotherMerge() throws {
    let run = try merged("llama/lora")
    let other = try merged("llama/lora_rslora")
    expectRefusal(run, "record", { $0.record = other.record }) {
      if case .otherAdapter = $0 { true } else { false }
    }
    expectRefusal(
      run, "record and adapter",
      {
        $0.record = other.record
        $0.adapters = other.adapters
      }
    ) {
      if case .otherModel = $0 { true } else { false }
    }
  }

  @Test func mergesThatCannotBeRecorded() throws {
    let run = UnmergeRun(Fixture.path("llama/base"), [Self.lora], in: try Scratch())
    #expect(throws: UndoError.self) { try run.merge { $0.element = .f32 } }
    let file = UnmergeRun(
      Fixture.path("bert/base/model.safetensors"),
      [WeightedAdapter(path: Fixture.path("bert/lora"))], in: run.scratch)
    #expect(throws: UndoError.self) {
      try file.merge { $0.output = run.scratch.file("out.safetensors") }
    }
    #expect(run.scratch.names == [])
  }
}
