import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// What PEFT's `add_weighted_adapter` gives of `Fixtures/combine` (see its make_fixtures.py).
@Suite struct CombineGoldenTests {
  struct Case: Sendable, CustomStringConvertible {
    let mode: CombinationMode
    var rank: Int?
    var density: Double?
    var majoritySign = MajoritySign.total
    let index: Int
    var description: String { "\(index): \(mode.rawValue)" }
  }

  static let cases = [
    Case(mode: .cat, index: 0), Case(mode: .linear, index: 1), Case(mode: .svd, index: 2),
    Case(mode: .svd, rank: 6, index: 3), Case(mode: .ties, density: 0.5, index: 4),
    Case(mode: .ties, density: 0.75, majoritySign: .frequency, index: 5),
    Case(mode: .tiesSVD, density: 0.6, index: 6),
    Case(mode: .magnitudePrune, density: 0.3, index: 7),
    Case(mode: .magnitudePruneSVD, density: 0.4, index: 8),
  ]

  @Test(arguments: cases)
  func asPEFT(_ example: Case) throws {
    let scratch = try Scratch()
    var request = CombineRequest(
      adapters: [
        WeightedAdapter(path: Fixture.path("combine/a"), weight: 0.7),
        WeightedAdapter(path: Fixture.path("combine/b"), weight: -0.4),
      ], output: scratch.file("out"))
    request.mode = example.mode
    request.rank = example.rank
    request.density = example.density
    request.majoritySign = example.majoritySign
    let report = try CombineOperation(request).run()
    #expect(report.modules.count == 2)
    let expected = try readModel(Fixture.path("combine/expected.safetensors"))
    for (module, change) in try changes(of: scratch.file("out")) {
      let wanted = try #require(expected["\(example.index).\(module)"])
      let distance = relativeDistance(
        Array(change.values.prefix(4 * change.columns)), wanted.values)
      #expect(distance < 1e-5, "\(module): \(distance)")
    }
  }

  /// Section by section the vectors of PEFT's `merge_utils`.
  @Test func operators() {
    let (x, y): ([Float], [Float]) = ([1, -2, 3, 0.5], [-0.5, -1, 2, 4])
    func check(
      _ mode: CombinationMode, _ density: Double, _ sign: MajoritySign, _ expected: [Float]
    ) {
      var generator = NumpyGenerator(seed: 0)
      let found = TaskVectors.combined(
        [x, y], weights: [0.7, 0.3], mode: mode, density: density, majoritySign: sign,
        generator: &generator)
      for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-6, "\(mode): \(found)") }
    }
    check(.linear, 1, .total, [0.55, -1.7, 2.7, 1.55])
    check(.magnitudePrune, 0.5, .total, [0, -1.4, 2.7, 1.2])
    check(.ties, 0.5, .total, [0, -1.4, 1.35, 1.2])
    check(.ties, 0.75, .total, [0.7, -0.85, 1.35, 1.2])
    check(.ties, 0.75, .frequency, [0.7, -0.85, 1.35, 1.2])
  }

  /// Pruning keeps the largest by a sort, the first of equal ones.
  @Test func pruningAsBySorting() {
    var generator = NumpyGenerator(seed: 3)
    let values = (0..<500).map { _ in Float(generator.integer(through: 40)) / 8 - 2.5 }
    for density in [0, 0.002, 0.1, 0.33, 0.5, 0.999] {
      var vectors = TaskVectors(tensors: [values], weights: [1])
      vectors.pruneByMagnitude(density: density)
      let order = values.indices.sorted { a, b in
        let (x, y) = (abs(values[a]), abs(values[b]))
        return x == y ? a < b : x > y
      }
      let kept = Set(order.prefix(Int(density * 500)))
      let expected = values.indices.map { kept.contains($0) ? values[$0] : 0 }
      #expect(vectors.tensors[0] == expected)
    }
  }

  /// Random pruning keeps the part asked for and the mean; the seed decides, nothing else.
  @Test func randomPruning() {
    func pruned(_ seed: UInt64) -> [Float] {
      var generator = NumpyGenerator(seed: seed)
      return TaskVectors.combined(
        [[Float](repeating: 1, count: 20_000)], weights: [1], mode: .dareLinear, density: 0.3,
        majoritySign: .total, generator: &generator)
    }
    let values = pruned(1)
    let kept = values.filter { $0 != 0 }
    let scaled: Float = 1 / 0.3
    #expect(kept.allSatisfy { $0 == scaled })
    // Five standard deviations of a binomial.
    let deviation = (20_000 * 0.3 * 0.7).squareRoot()
    #expect(abs(Double(kept.count) - 6000) < 5 * deviation)
    #expect(pruned(1) == values)
    #expect(pruned(2) != values)
  }
}
