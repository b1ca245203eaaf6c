import Foundation
import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Candidates {
    /// A change of one element.
    struct Change: CustomStringConvertible {
      var delta: Float
      var factor: Float?

      var description: String { "D \(delta.hex) Q \(factor?.hex ?? "-")" }
    }

    private static let tiny = Float(bitPattern: 1)

    /// Changes of ordinary and of every awkward size: sums that vanish, round, overflow, or are no
    /// numbers; factors that turn the order round or let everything fall together.
    static let additive: [Float] = [
      0, -0.0, 1e-3, -0.25, 3, 1 / 3, tiny, -0x1p-140, 6e-8, -3e-8, 65504, -65519, 1e5, 3e38,
      -3.4e38,
      .infinity, -.infinity, .nan,
    ]
    static let scaled: [Change] = [
      Change(delta: 0, factor: 1), Change(delta: -0.0, factor: -1), Change(delta: 0, factor: 0.731),
      Change(delta: 1e-3, factor: 1), Change(delta: -0.5, factor: -1.9),
      Change(delta: 3, factor: 0), Change(delta: 0, factor: -0.0), Change(delta: 0.1, factor: 1e-3),
      Change(delta: -1e-3, factor: 1e30), Change(delta: 2, factor: -1e-30),
      Change(delta: 1e5, factor: tiny), Change(delta: 0.25, factor: .infinity),
      Change(delta: 0, factor: -.infinity), Change(delta: 1, factor: .nan),
      Change(delta: .infinity, factor: 0), Change(delta: -.infinity, factor: -2),
      Change(delta: .nan, factor: 1), Change(delta: 3e38, factor: 3),
      Change(delta: -3e38, factor: 0),
    ]

    static let patterns = (0...UInt16.max).map { $0 }

    /// Encodes all 65,536 patterns under one change, decodes them again, and compares the size with
    /// that of the definition.
    private func roundTrip(
      _ rule: StoringRule, _ change: Change, axis: FactorAxis = .perElement, _ path: String
    ) {
      let what = "\(path): \(rule.element) \(change) \(axis)"
      let merged = rule.stored(delta: change.delta, factor: change.factor)
      var deltas = [Float](repeating: change.delta, count: 65536)
      let factors = change.factor.map { [Float](repeating: $0, count: 65536) }
      let stored = Self.patterns.withUnsafeBytes { Array($0) }
      deltas.withUnsafeMutableBufferPointer { deltas in
        let delta = RowBand(rows: 0..<256, columns: 256, values: deltas)
        guard
          let code = encoded(stored, delta, factors, axis, rule.element, merged),
          let back = decoded(code, delta, factors, axis, rule.element, merged)
        else {
          Issue.record("\(what): refused")
          return
        }
        if axis == .perElement {
          #expect(rule.bits(merged).map { ($0 + 7) / 8 } == code.count, "\(what)")
        }
        if let wrong = zip(stored, back).enumerated().first(where: { $1.0 != $1.1 }) {
          let bits = String(Self.patterns[wrong.offset / 2], radix: 16)
          Issue.record("\(what): 0x\(bits) did not come back")
        }
      }
    }

    @Test(arguments: [ElementType.bf16, .f16])
    func everyPatternComesBack(_ element: ElementType) {
      let rule = StoringRule(element)
      for delta in Self.additive { roundTrip(rule, Change(delta: delta), "fastest path") }
      for change in Self.scaled { roundTrip(rule, change, "fastest path") }
    }

    @Test(arguments: [ElementType.bf16, .f16])
    func everyPathFindsTheSame(_ element: ElementType) {
      let rule = StoringRule(element)
      KernelPaths.each { path in
        roundTrip(rule, Change(delta: 1e-3), path)
        roundTrip(rule, Change(delta: -0.25, factor: -1.9), path)
        roundTrip(rule, Change(delta: 0.25, factor: 0.731), axis: .perRow, path)
        roundTrip(rule, Change(delta: 0.25, factor: 3), axis: .perColumn, path)
      }
    }

    /// f32 elements near and far from the change, and every special one.
    @Test func f32ComesBack() {
      var random = SplitMix64(seed: 5)
      KernelPaths.each { path in
        for factor in [nil, -1.7, 1e-20, 0, .infinity] as [Float?] {
          let count = 512
          let stored = Merging.base(.f32, count, &random, .anything)
          var deltas = Merging.values(count, &random, .anything)
          let factors = factor.map { [Float](repeating: $0, count: count) }
          deltas.withUnsafeMutableBufferPointer { deltas in
            let delta = RowBand(rows: 0..<2, columns: 256, values: deltas)
            let merged = merge(stored, delta, factors, .f32)
            let code = encoded(stored, delta, factors, .perElement, .f32, merged)
            let back = code.flatMap { decoded($0, delta, factors, .perElement, .f32, merged) }
            #expect(back == stored, "\(path), Q \(factor?.hex ?? "-")")
          }
        }
      }
    }

    /// The elements of one band by the kernels that merge.
    private func merge(
      _ stored: [UInt8], _ delta: RowBand, _ factors: [Float]?, _ element: ElementType
    ) -> [UInt8] {
      var result = stored
      var statistics = [RowStatistics](repeating: RowStatistics(), count: delta.rows.count)
      result.withUnsafeMutableBytes { result in
        stored.withUnsafeBytes { stored in
          statistics.withUnsafeMutableBufferPointer { statistics in
            if let factors {
              factors.withUnsafeBufferPointer {
                MergeRows.storeScaled(
                  delta: delta, factors: $0, axis: .perElement, stored: stored, element: element,
                  into: result, statistics: statistics)
              }
            } else {
              MergeRows.storeAdditive(
                delta: delta, stored: stored, element: element, into: result,
                statistics: statistics)
            }
          }
        }
      }
      return result
    }

    /// Bits per weight on Gaussian weights of deviation 0.02, W' made by a rank-16 change of 0.5 %, 1.5 %
    /// and 5 % of their norm.
    @Test(arguments: [(0.005, 0.017), (0.015, 0.041), (0.05, 0.109)])
    func size(_ relative: Double, _ expected: Double) {
      let (rows, columns, rank) = (512, 512, 16)
      var random = SplitMix64(seed: 16)
      let stored = ElementType.bf16.rounded(
        (0..<rows * columns).map { _ in 0.02 * random.gaussian() })
      let term = LowRankFactors(
        rank: rank, rows: rows, columns: columns,
        b: (0..<rows * rank).map { _ in random.gaussian() },
        a: (0..<rank * columns).map { _ in random.gaussian() },
        scale: Float(0.02 * relative / 4))
      var values = [Float](repeating: 0, count: rows * columns)
      values.withUnsafeMutableBufferPointer { values in
        let delta = RowBand(rows: 0..<rows, columns: columns, values: values)
        MergeRows.addLowRank([term], to: delta)
        let merged = merge(stored, delta, nil, .bf16)
        guard let code = encoded(stored, delta, nil, .perElement, .bf16, merged) else {
          Issue.record("not encoded")
          return
        }
        let bits = Double(8 * code.count) / Double(rows * columns)
        #expect(abs(bits / expected - 1) < 0.1, "\(bits) bits per weight")
        #expect(decoded(code, delta, nil, .perElement, .bf16, merged) == stored)
      }
    }

    /// A code that is cut, has more bytes, or belongs to other rows is refused or gives other elements,
    /// and never reads beyond its end.
    @Test func otherCodes() throws {
      var random = SplitMix64(seed: 9)
      let count = 1024
      let stored = ElementType.bf16.rounded(random.floats(count, 0.02))
      var deltas = random.floats(count, 0.02)
      try deltas.withUnsafeMutableBufferPointer { deltas in
        let delta = RowBand(rows: 0..<1, columns: count, values: deltas)
        let merged = merge(stored, delta, nil, .bf16)
        let code = try #require(encoded(stored, delta, nil, .perElement, .bf16, merged))
        #expect(code.count > 16)
        #expect(decoded(Array(code.dropLast()), delta, nil, .perElement, .bf16, merged) == nil)
        #expect(decoded(code + [0], delta, nil, .perElement, .bf16, merged) == nil)
        // Far from what any weight gives with this D.
        var impossible = merged
        impossible[0] = 0x01
        impossible[1] = 0x00
        if deltas[0] != 0 {
          #expect(decoded(code, delta, nil, .perElement, .bf16, impossible) != stored)
        }
        #expect(encoded(merged, delta, nil, .perElement, .bf16, merged) == nil)
      }
    }
  }
}

/// The code of `stored`; nil where it is refused.
private func encoded<Merged>(
  _ stored: [UInt8], _ delta: RowBand, _ factors: [Float]?, _ axis: FactorAxis,
  _ element: ElementType, _ merged: [Merged]
) -> [UInt8]? {
  var code = [UInt8](repeating: 0, count: stored.count)
  let used = withRows(delta, factors, axis, element, merged) { rows in
    stored.withUnsafeBytes { stored in
      code.withUnsafeMutableBytes { CandidateCoding.encode(stored, of: rows, into: $0) }
    }
  }
  return used.map { Array(code[..<$0]) }
}

/// The rows that `code` gives; nil where it is refused.
private func decoded<Merged>(
  _ code: [UInt8], _ delta: RowBand, _ factors: [Float]?, _ axis: FactorAxis,
  _ element: ElementType, _ merged: [Merged]
) -> [UInt8]? {
  var stored = [UInt8](repeating: 0, count: merged.count * MemoryLayout<Merged>.size)
  let isDone = withRows(delta, factors, axis, element, merged) { rows in
    code.withUnsafeBytes { code in
      stored.withUnsafeMutableBytes { CandidateCoding.decode(code, of: rows, into: $0) }
    }
  }
  return isDone ? stored : nil
}

private func withRows<Merged, Result>(
  _ delta: RowBand, _ factors: [Float]?, _ axis: FactorAxis, _ element: ElementType,
  _ merged: [Merged], _ body: (ChangedRows) -> Result
) -> Result {
  merged.withUnsafeBytes { merged in
    guard let factors else {
      return body(ChangedRows(delta: delta, element: element, merged: merged))
    }
    return factors.withUnsafeBufferPointer {
      body(ChangedRows(delta: delta, factors: ($0, axis), element: element, merged: merged))
    }
  }
}

extension SplitMix64 {
  /// Normally distributed, by Box and Muller's transform.
  mutating func gaussian() -> Float {
    let radius = (-2 * log(Double.random(in: 0x1p-53..<1, using: &self))).squareRoot()
    return Float(radius * cos(2 * .pi * Double.random(in: 0..<1, using: &self)))
  }
}
