import Safetensors
import Testing

@testable import Operations

/// Several SBoRA adapters on one base (Multi-SBoRA).
@Suite struct MultiSBoRATests {
  /// Writes an adapter that adds `value` to the columns (FA) or rows (FB) `index` of a 6×5 weight.
  private func write(_ path: String, variant: String, index: [Int], value: Float) throws {
    let prefix = "base_model.model.q."
    let rank = index.count
    let factor: (String, StoredTensor) =
      variant == "FA"
      ? (
        "sbora_B",
        .f32([6, rank], (0..<6 * rank).map { value + Float($0) / 7 })
      )
      : ("sbora_A", .f32([rank, 5], (0..<5 * rank).map { value + Float($0) / 7 }))
    var bytes: [UInt8] = []
    for place in index { withUnsafeBytes(of: Int64(place).littleEndian) { bytes += $0 } }
    try SyntheticAdapter.write(
      path,
      config: [
        "peft_type": "SBORA", "r": .int(rank), "variant": .string(variant),
        "target_modules": ["q"],
      ],
      tensors: [
        prefix + "sbora_index": StoredTensor(dtype: .i64, shape: [rank], bytes: bytes),
        prefix + factor.0: factor.1,
      ])
  }

  private func merge(
    _ scratch: Scratch, _ adapters: [String], _ out: String, strict: Bool = true
  ) throws -> MergeReport {
    var request = MergeRequest(
      base: scratch.file("base"),
      adapters: adapters.map { WeightedAdapter(path: scratch.file($0)) },
      output: scratch.file(out), threads: 1)
    request.isStrict = strict
    return try MergeOperation(MergePlan(request)).run()
  }

  private func scratchWithBase() throws -> Scratch {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("base"), config: [:],
      ["q.weight": .f32([6, 5], (0..<30).map { Float($0) * 0.37 - 4 })])
    return scratch
  }

  @Test(arguments: ["FA", "FB"])
  func anyOrderGivesTheSameBits(_ variant: String) throws {
    let scratch = try scratchWithBase()
    try write(scratch.file("a"), variant: variant, index: [0, 3], value: 0.1)
    try write(scratch.file("b"), variant: variant, index: [4], value: -0.7)
    try write(scratch.file("c"), variant: variant, index: [1, 2], value: 1.3)
    _ = try merge(scratch, ["a", "b", "c"], "abc")
    _ = try merge(scratch, ["c", "a", "b"], "cab")
    let together = try readModel(scratch.file("abc"))
    #expect(try together == readModel(scratch.file("cab")))
    // One after the other is the same again: the regions do not see each other.
    var base = scratch.file("base")
    for name in ["b", "c", "a"] {
      let request = MergeRequest(
        base: base, adapters: [WeightedAdapter(path: scratch.file(name))],
        output: scratch.file("after-" + name), threads: 1)
      _ = try MergeOperation(MergePlan(request)).run()
      base = scratch.file("after-" + name)
    }
    #expect(try readModel(base) == together)
  }

  @Test func overlapIsReportedAndRefused() throws {
    let scratch = try scratchWithBase()
    try write(scratch.file("a"), variant: "FA", index: [0, 3], value: 0.1)
    try write(scratch.file("b"), variant: "FA", index: [3, 4], value: -0.7)
    try write(scratch.file("c"), variant: "FB", index: [1], value: 1.3)
    #expect(throws: MergeError.self) { try merge(scratch, ["a", "b"], "refused") }
    let report = try merge(scratch, ["a", "b"], "ab", strict: false)
    #expect(
      report.warnings.contains(
        .overlap(
          tensor: "q.weight", adapters: [scratch.file("a"), scratch.file("b")], shared: 1)))
    // Rows cross columns.
    #expect(throws: MergeError.self) { try merge(scratch, ["a", "c"], "crossed") }
  }
}
