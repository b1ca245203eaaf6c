import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// Adapters of different methods and ranks as one LoRA.
@Suite struct MixedCombineTests {
  private let base = Fixture.path("llama/base")

  private func merged(_ terms: [(String, Double)], to out: String) throws -> [String: StoredTensor]
  {
    var request = MergeRequest(
      base: base, adapters: terms.map { WeightedAdapter(path: $0.0, weight: $0.1) }, output: out,
      threads: 1)
    request.element = .f32
    _ = try MergeOperation(MergePlan(request)).run()
    return try readModel(out)
  }

  /// What is combined and merged is what merging all of them gives. VeRA without its projections draws them
  /// for its own layers, whatever the other adapters adapt.
  @Test(arguments: [
    [("lora", 0.5), ("1lora", 2), ("vera", 0.7), ("lora_rslora", -1), ("lora_patterns", 1)],
    [("vera_noproj", 0.5), ("lora", 1)], [("sbora_fa", 1), ("sbora_fb", -0.5), ("lora", 0.3)],
    [("mora_2", 1), ("1lora_learned", 0.5), ("lora", 1)],
  ])
  func asMergedTogether(_ names: [(String, Double)]) throws {
    let scratch = try Scratch()
    let terms = names.map { (Fixture.path("llama/" + $0.0), $0.1) }
    var request = CombineRequest(
      adapters: terms.map { WeightedAdapter(path: $0.0, weight: $0.1) },
      output: scratch.file("out"))
    request.base = base
    _ = try CombineOperation(request).run()
    let wanted = try merged(terms, to: scratch.file("all"))
    for (name, tensor) in try merged([(scratch.file("out"), 1)], to: scratch.file("one")) {
      #expect(relativeDistance(tensor.values, wanted[name]?.values ?? []) < 1e-6, "\(name)")
    }
  }

  /// Without a base nothing is drawn for a guess of its layers.
  @Test func drawnTensorsNeedTheBase() throws {
    let scratch = try Scratch()
    let terms = ["vera_noproj", "lora"].map { WeightedAdapter(path: Fixture.path("llama/" + $0)) }
    #expect {
      try CombineOperation(CombineRequest(adapters: terms, output: scratch.file("out"))).run()
    } throws: { error in
      if case CombineError.unknownLayer = error { true } else { false }
    }
    #expect(scratch.names.isEmpty)
  }

  /// `svd` modes give every module the largest rank of any, as PEFT does.
  @Test(arguments: [CombinationMode.svd, .tiesSVD, .magnitudePruneSVD, .dareLinearSVD])
  func rankOfTheSVD(_ mode: CombinationMode) throws {
    let scratch = try Scratch()
    func adapter(_ name: String, _ ranks: [Int]) throws -> WeightedAdapter {
      var generator = NumpyGenerator(seed: UInt64(name.utf8.count))
      var tensors: [String: StoredTensor] = [:]
      for (index, rank) in ranks.enumerated() {
        func values() -> [Float] {
          (0..<rank * 9).map { _ in Float(generator.integer(through: 9)) }
        }
        tensors["base_model.model.m\(index).lora_A.weight"] = .f32([rank, 9], values())
        tensors["base_model.model.m\(index).lora_B.weight"] = .f32([9, rank], values())
      }
      try SyntheticAdapter.write(
        scratch.file(name), config: ["peft_type": "LORA", "r": 2, "lora_alpha": 2], tensors: tensors
      )
      return WeightedAdapter(path: scratch.file(name))
    }
    var request = CombineRequest(
      adapters: [try adapter("a", [2, 5]), try adapter("bb", [2])], output: scratch.file("out"))
    request.mode = mode
    request.density = mode.needsDensity ? 0.7 : nil
    let report = try CombineOperation(request).run()
    #expect(report.modules.map(\.rank) == (mode == .svd ? [4, 5] : [5, 5]))
    #expect(mode != .svd || report.truncation < 1e-7)
  }

  /// Dense changes beyond the size that is decomposed whole, against the whole decomposition.
  @Test func accuracyOfTheSVD() throws {
    let (rows, columns, rank) = (90, 80, 6)
    var generator = NumpyGenerator(seed: 2)
    func factors(_ rank: Int) -> LowRankFactors {
      func values(_ count: Int) -> [Float] {
        (0..<count).map { _ in Float(generator.integer(through: 200)) / 100 - 1 }
      }
      return LowRankFactors(
        rank: rank, rows: rows, columns: columns, b: values(rows * rank),
        a: values(rank * columns), scale: 0.5)
    }
    var request = CombineRequest(adapters: [], output: "")
    (request.mode, request.density) = (.magnitudePruneSVD, 0.4)
    let terms = [(weight: 0.7, factors: factors(4)), (weight: -0.4, factors: factors(6))]
    let found = try FactorCombination(terms: terms, request: request, largestRank: rank)
      .combined(module: "m", generator: &generator)
    var sum = [Float](repeating: 0, count: rows * columns)
    for (weight, factors) in terms {
      var change = [Float](repeating: 0, count: rows * columns)
      change.withUnsafeMutableBufferPointer {
        LowRankUpdate(factors).addDelta(
          to: RowBand(rows: 0..<rows, columns: columns, values: $0), scale: 1)
      }
      let kept = Set(
        change.indices.sorted { abs(change[$0]) > abs(change[$1]) }.prefix(rows * columns * 2 / 5))
      for index in kept { sum[index] += Float(weight) * change[index] }
    }
    let exact = SingularValues(DenseMatrix(rows: rows, columns: columns, sum))
    var (distance, norm) = (0.0, 0.0)
    for row in 0..<rows {
      for column in 0..<columns {
        var (x, y) = (0.0, 0.0)
        for k in 0..<rank {
          x += exact.values[k] * exact.left[k, row] * exact.right[k, column]
          y += Double(found.b[row * rank + k]) * Double(found.a[k * columns + column])
        }
        distance += (x - y) * (x - y)
        norm += x * x
      }
    }
    #expect((distance / norm).squareRoot() < 1e-5)
  }
}
