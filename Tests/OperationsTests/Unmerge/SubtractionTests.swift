import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// Without a record: what subtracting gives, and what it cannot give.
@Suite struct SubtractionTests {
  private func run(_ name: String, weight: Double = 1) throws -> UnmergeRun {
    let run = UnmergeRun(
      Fixture.base(of: name), [WeightedAdapter(path: Fixture.path(name), weight: weight)],
      in: try Scratch())
    try run.merge { $0.recordsUndo = false }
    return run
  }

  /// The distance from |x| to the next element of its type: a unit in its last place.
  private func unit(_ x: Double, _ dtype: DType) -> Double {
    let (digits, smallest): (Int, Int) =
      switch dtype {
      case .bf16: (7, -126)
      case .f16: (10, -14)
      default: (23, -126)
      }
    let exponent = x == 0 ? smallest : max(smallest, Int(x.exponent))
    return Double(sign: .plus, exponent: exponent - digits, significand: 1)
  }

  /// Every element is within half a unit of W' and half a unit of W0 of what it was; one of a bias, which a
  /// weight moves part of the way to its new value, within two units of the larger.
  @Test(arguments: [
    "llama/lora", "vit/lora", "gpt2/lora", "bert/lora_lorabias", "mixtral/lora_params",
  ])
  func withinTheBound(_ name: String) throws {
    let run = try run(name, weight: 0.7)
    let report = try run.unmerge()
    #expect(!report.exact && report.kept.isEmpty)
    let (base, merged, back) = try (
      readModel(run.base), readModel(run.merged), readModel(run.back)
    )
    #expect(base.keys == back.keys)
    for (name, was) in base {
      let is_ = try #require(back[name])
      let between = try #require(merged[name])
      for (index, (a, b)) in zip(was.values, is_.values).enumerated() where a != b {
        let units = (unit(between.values[index], was.dtype), unit(a, was.dtype))
        let bound =
          name.hasSuffix(".bias") ? 2 * max(units.0, units.1) : (units.0 + units.1) / 2
        // Half a unit more where the result is in the next binade.
        guard abs(a - b) > bound + unit(b, was.dtype) / 2 else { continue }
        Issue.record("\(name)[\(index)]: \(a) came back as \(b), bound \(bound)")
        break
      }
      if between == was { #expect(is_ == was, "\(name) was not changed") }
    }
  }

  @Test func recordIsPassedOver() throws {
    let name = "llama/lora"
    let run = UnmergeRun(
      Fixture.base(of: name), [WeightedAdapter(path: Fixture.path(name))], in: try Scratch())
    try run.merge()
    #expect(try !run.unmerge { $0.ignoresRecord = true }.exact)
    #expect(try FileSystem.names(in: run.back) == FileSystem.names(in: run.base))
  }

  @Test func dependentFactorsAreRefused() throws {
    let run = try run("llama/dora")
    do {
      try run.unmerge()
      Issue.record("should have been refused")
    } catch UndoError.notReversible(let tensor, let method, .factorsNeedBase) {
      #expect(tensor.hasSuffix(".weight") && method == "DoRA")
    }
    #expect(!FileSystem.exists(run.back))
  }

  @Test(arguments: ["llama/lora_modules_to_save", "bert/lora_bias"])
  func replacedTensorsAreRefused(_ name: String) throws {
    let run = try run(name)
    do {
      try run.unmerge()
      Issue.record("should have been refused")
    } catch UndoError.replaced(let tensors) {
      #expect(
        tensors.contains {
          $0.hasPrefix("lm_head") || $0.contains("norm") || $0.hasSuffix(".bias")
        },
        "\(tensors)")
    }
    #expect(!FileSystem.exists(run.back))
    let report = try run.unmerge { $0.keepsReplaced = true }
    #expect(!report.kept.isEmpty && report.restored > 0)
    let (merged, back) = try (readModel(run.merged), readModel(run.back))
    for name in report.kept { #expect(merged[name] == back[name]) }
  }

  @Test func tokensAreRefused() throws {
    let run = try run("llama/trainable_tokens")
    #expect(throws: UndoError.self) { try run.unmerge() }
  }

  /// γ is divided out, β subtracted; a γ of zero leaves nothing.
  @Test(arguments: [false, true])
  func scaledRows(_ hasZero: Bool) throws {
    let scratch = try Scratch()
    let elements = (0..<16).map { Float($0) - 7.25 }
    try writeModel(
      scratch.file("base"), config: [:],
      ["q.weight": .f32([4, 4], elements), "q.bias": .f32([4], Array(elements[..<4]))])
    try SyntheticAdapter.write(
      scratch.file("adapter"),
      config: ["peft_type": "ONELORA", "train_bias": true, "train_scale": true],
      tensors: [
        "base_model.model.q.onelora_b": .f32([4], [1, 2, 3, 4]),
        "base_model.model.q.bitfit_bias": .f32([4], [0.5, 0.25, 0, 1]),
        "base_model.model.q.difffit_scale": .f32([4], [2, hasZero ? 0 : -0.5, 4, 1]),
      ])
    for weight in [1, 0.5] {
      let run = UnmergeRun(
        scratch.file("base"), [WeightedAdapter(path: scratch.file("adapter"), weight: weight)],
        in: scratch)
      try run.merge {
        $0.recordsUndo = false
        $0.replacing = true
      }
      if hasZero && weight == 1 {
        #expect(throws: UndoError.self) { try run.unmerge { $0.replacing = true } }
        continue
      }
      try run.unmerge { $0.replacing = true }
      let (base, back) = try (readModel(run.base), readModel(run.back))
      for (name, tensor) in base {
        for (a, b) in zip(tensor.values, back[name]?.values ?? []) { #expect(abs(a - b) < 1e-5) }
      }
    }
  }

  /// The base itself is not a merged model: what the adapter would have added is not there.
  @Test func notMerged() throws {
    let scratch = try Scratch()
    try writeModel(scratch.file("base"), config: [:], ["q.weight": .f32([2, 2], [1, 2, 3, 4])])
    try SyntheticAdapter.ones(
      scratch.file("adapter"), modules: [("q", 2, 2)], config: ["task_type": "SEQ_CLS"],
      extra: ["base_model.model.score.weight": .f32([2, 2], [1, 1, 1, 1])])
    let request = UnmergeRequest(
      merged: scratch.file("base"), adapters: [.init(path: scratch.file("adapter"))],
      output: scratch.file("out"), threads: 1)
    #expect(throws: UndoError.self) { try UnmergePlan(request) }
  }
}
