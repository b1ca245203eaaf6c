import Testing

@testable import Safetensors

@Suite struct ByteCoverageTests {
  /// Against a set of numbers, for random insertions.
  @Test func agreesWithASet() {
    for seed in 0..<200 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      var coverage = ByteCoverage()
      var set: Set<Int> = []
      for _ in 0..<30 {
        let start = Int.random(in: 0..<40, using: &random)
        let range = start..<start + Int.random(in: 0..<6, using: &random)
        let isNew = set.isDisjoint(with: range)
        #expect(coverage.insert(range) == isNew, "seed \(seed) \(range)")
        if isNew { set.formUnion(range) }
        #expect(coverage.ranges.flatMap { Array($0) } == set.sorted(), "seed \(seed)")
        for (a, b) in zip(coverage.ranges, coverage.ranges.dropFirst()) {
          #expect(a.upperBound < b.lowerBound, "seed \(seed)")
        }
        let gap = coverage.firstGap(in: 0..<45)
        let first = (0..<45).first { !set.contains($0) }
        #expect(gap?.lowerBound == first, "seed \(seed)")
        if let gap {
          #expect(
            set.isDisjoint(with: gap) && (gap.upperBound == 45 || set.contains(gap.upperBound)))
        }
      }
    }
  }
}
