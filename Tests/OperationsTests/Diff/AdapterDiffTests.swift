import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

@Suite struct AdapterDiffTests {
  private struct Factors {
    var a: [Float]
    var b: [Float]
    var rank: Int
    var alpha: Double

    /// ΔW, `6 × 5`.
    var dense: DenseMatrix {
      var product = DenseMatrix(rows: 6, columns: rank, b).multiplied(
        by: DenseMatrix(rows: rank, columns: 5, a))
      for index in product.values.indices { product.values[index] *= alpha / Double(rank) }
      return product
    }
  }

  private func factors(seed: UInt64, rank: Int, alpha: Double) -> Factors {
    var random = Numbers(seed: seed)
    return Factors(
      a: random.floats(rank * 5), b: random.floats(6 * rank), rank: rank, alpha: alpha)
  }

  private func write(_ path: String, _ factors: Factors, _ config: JSONObject = [:]) throws {
    var whole: JSONObject = [
      "peft_type": "LORA", "r": .int(factors.rank), "lora_alpha": .double(factors.alpha),
      "target_modules": ["q", "v"],
    ]
    for entry in config.entries { whole[entry.key] = entry.value }
    try SyntheticAdapter.write(
      path, config: whole,
      tensors: [
        "base_model.model.layers.0.q.lora_A.weight": .f32([factors.rank, 5], factors.a),
        "base_model.model.layers.0.q.lora_B.weight": .f32([6, factors.rank], factors.b),
      ])
  }

  private func norm(_ values: [Double]) -> Double {
    values.reduce(0) { $0 + $1 * $1 }.squareRoot()
  }

  /// Measured on the factors, the changes have the numbers of their products.
  @Test(arguments: [(2, 3, 4.0, 6.0), (2, 2, 4, 4), (4, 4, 8, 2), (1, 5, 1, 5)])
  func changesByTheirProducts(_ rankA: Int, _ rankB: Int, _ alphaA: Double, _ alphaB: Double) throws
  {
    let scratch = try Scratch()
    let a = factors(seed: 50, rank: rankA, alpha: alphaA)
    let b = factors(seed: 51, rank: rankB, alpha: alphaB)
    try write(scratch.file("a"), a)
    try write(scratch.file("b"), b)
    let report = try diff(scratch.file("a"), scratch.file("b")) { $0.spectra = 4 }
    let module = try #require(report.adapters?.modules.first)
    #expect(module.module == "layers.0.q")
    let (x, y) = (a.dense.values, b.dense.values)
    let expected = [
      (module.a?.norm, norm(x)), (module.b?.norm, norm(y)),
      (module.cosine, zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } / norm(x) / norm(y)),
      (module.relativeNorm, norm(zip(x, y).map { $0 - $1 }) / norm(x)),
    ]
    for (found, wanted) in expected {
      #expect(abs(try #require(found) - wanted) < 1e-6 * max(1, abs(wanted)))
    }
    let values = SingularValues(a.dense).values
    for (found, wanted) in zip(try #require(module.a?.singularValues), values) {
      #expect(abs(found - wanted) < 1e-6)
    }
    let stable = values.reduce(0) { $0 + $1 * $1 } / (values[0] * values[0])
    #expect(abs(try #require(module.a?.stableRank) - stable) < 1e-5)
    #expect(abs(effectiveRank([3, 3, 3, 0]) - 3) < 1e-12 && effectiveRank([0]) == 0)
    // Entropy of 3/4 and 1/4.
    #expect(abs(effectiveRank([3, 1]) - 1.754765350603323) < 1e-12)
    #expect(report.spectra.first?.values == module.a?.singularValues)
    #expect(report.spectra.first?.valuesB == module.b?.singularValues)
  }

  /// Close adapters: the distance of the changes is not what cancellation leaves of it.
  @Test func closeAdapters() throws {
    let scratch = try Scratch()
    let a = factors(seed: 52, rank: 3, alpha: 3)
    var b = a
    b.b[0] = b.b[0].nextUp
    try write(scratch.file("a"), a)
    try write(scratch.file("b"), b)
    let report = try diff(scratch.file("a"), scratch.file("b"))
    let expected =
      norm(zip(a.dense.values, b.dense.values).map { $0 - $1 }) / norm(a.dense.values)
    let found = try #require(report.adapters?.modules.first?.relativeNorm)
    #expect(expected > 0 && abs(found / expected - 1) < 1e-6)
    #expect(report.tensors.changed.count == 1 && report.tensors.equal == 1)
  }

  @Test func settings() throws {
    let scratch = try Scratch()
    let factors = factors(seed: 53, rank: 2, alpha: 4)
    try write(
      scratch.file("a"), factors,
      ["use_dora": false, "bias": "none", "lora_dropout": 0.1, "revision": .null])
    try write(
      scratch.file("b"), factors,
      ["lora_alpha": .int(4), "target_modules": ["v", "q"], "lora_dropout": 0.2, "note": "new"])
    let report = try diff(scratch.file("a"), scratch.file("b"))
    #expect(report.tensors.isIdentical && !report.isIdentical)
    #expect(
      report.adapters?.fields == [
        AdapterComparison.Field(name: "lora_dropout", a: 0.1, b: 0.2),
        AdapterComparison.Field(name: "note", a: nil, b: "new"),
      ])
    #expect(try diff(scratch.file("a"), scratch.file("a")).isIdentical)
  }

  /// A folder and the container made of it are the same adapter.
  @Test func containerAndFolder() throws {
    let scratch = try Scratch()
    let folder = Fixture.path("llama/lora")
    _ = try AdapterConversion(
      input: folder, output: scratch.file("c.safetensors"), target: .container, base: nil,
      replacing: false
    ).run()
    #expect(try diff(folder, scratch.file("c.safetensors")).isIdentical)
  }

  /// Methods without a low-rank form are compared tensor by tensor.
  @Test func otherMethods() throws {
    let dora = Fixture.path("llama/dora")
    let report = try diff(dora, Fixture.path("llama/lora"))
    #expect(report.adapters?.modules.allSatisfy { $0.a == nil && $0.b != nil } == true)
    #expect(report.tensors.onlyInA.allSatisfy { $0.hasSuffix("lora_magnitude_vector") })
    #expect(!report.tensors.onlyInA.isEmpty)
    #expect(try diff(dora, dora).isIdentical)
  }
}
