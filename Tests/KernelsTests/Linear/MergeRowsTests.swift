import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Merging {
    /// What is sprinkled over ordinary values.
    enum Spice: CaseIterable {
      case none
      /// Numbers: zeros of both signs, subnormals, changes of exactly half a unit in the last place.
      case numbers
      /// Also infinities, NaNs with payloads, and what overflows.
      case anything
    }

    /// Stored weights.
    static func base(
      _ element: ElementType, _ count: Int, _ random: inout SplitMix64, _ spice: Spice
    ) -> [UInt8] {
      var bytes = element.rounded(random.floats(count, 0.1))
      let infinity: UInt16 = element == .f16 ? 0x7C00 : 0x7F80
      let numbers: [UInt16] = [0, 0x8000, 1, 0x8001]
      let others: [UInt16] = [
        infinity, infinity | 0x8000, infinity | 1, 0xFFFF, infinity - 1, 0x7FFF,
      ]
      for at in 0..<count where spice != .none && UInt8.random(in: 0..<6, using: &random) == 0 {
        let choice = spice == .numbers ? numbers : numbers + others
        let top = choice[Int.random(in: 0..<choice.count, using: &random)]
        let end = (at + 1) * element.size
        for byte in at * element.size..<end { bytes[byte] = 0 }
        (bytes[end - 2], bytes[end - 1]) = (UInt8(top & 0xFF), UInt8(top >> 8))
      }
      return bytes
    }

    /// Changes for the stored weights `base`, or factors.
    static func values(
      _ count: Int, _ random: inout SplitMix64, _ spice: Spice, for base: [Float] = []
    ) -> [Float] {
      var values = random.floats(count, 0.01)
      let numbers: [Float] = [0, -0.0, Float(bitPattern: 700), -1e-30]
      let others: [Float] = [.infinity, -.infinity, .nan, 3e38, -1e5, 1]
      for at in 0..<count where spice != .none && UInt8.random(in: 0..<3, using: &random) == 0 {
        let choice = spice == .numbers ? numbers : numbers + others
        values[at] = choice[Int.random(in: 0..<choice.count, using: &random)]
        if at < base.count && base[at].isNormal && Bool.random(using: &random) {
          // Half a unit of bf16, or of f16, in the last place.
          let place = Bool.random(using: &random) ? 8 : 11
          values[at] = base[at].binade * (place == 8 ? 0x1p-8 : 0x1p-11)
          if Bool.random(using: &random) { values[at] *= -3 }
        }
      }
      return values
    }

    /// Runs `body` with the base at offset `shift` in memory, storing elsewhere and in place.
    private func store(
      _ base: [UInt8], rows: Int, shift: Int, inPlace: Bool,
      _ body: (
        UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer,
        UnsafeMutableBufferPointer<RowStatistics>
      ) -> Void
    ) -> (stored: [UInt8], statistics: [RowStatistics]) {
      var source = [UInt8](repeating: 0xEE, count: shift) + base + [0xEE]
      var destination = [UInt8](repeating: 0xEE, count: base.count + shift + 1)
      var statistics = [RowStatistics](repeating: RowStatistics(changed: -1), count: rows)
      source.withUnsafeMutableBytes { source in
        destination.withUnsafeMutableBytes { destination in
          statistics.withUnsafeMutableBufferPointer { statistics in
            let used = shift..<shift + base.count
            let from = UnsafeMutableRawBufferPointer(rebasing: source[used])
            let to = inPlace ? from : UnsafeMutableRawBufferPointer(rebasing: destination[used])
            body(UnsafeRawBufferPointer(from), to, statistics)
          }
        }
      }
      let result = inPlace ? source : destination
      #expect(result[..<shift].allSatisfy { $0 == 0xEE } && result.last == 0xEE)
      return (Array(result[shift..<shift + base.count]), statistics)
    }

    private func expect(
      _ found: (stored: [UInt8], statistics: [RowStatistics]), _ twin: MergeTwin,
      _ what: @autoclosure () -> String
    ) {
      let wrong = zip(found.stored, twin.stored).enumerated().first { $1.0 != $1.1 }
      #expect(
        wrong == nil && found.stored.count == twin.stored.count,
        "\(what()): byte \(wrong?.offset ?? -1)")
      for (row, (a, b)) in zip(found.statistics, twin.statistics).enumerated() where !a.matches(b) {
        Issue.record("\(what()): row \(row): \(a), expected \(b)")
      }
    }

    static let shapes = [(1, 1), (3, 31), (8, 32), (9, 33), (2, 512), (11, 300), (3, 1100)]

    @Test(arguments: ElementType.allCases, Spice.allCases)
    func additive(_ element: ElementType, spice: Spice) {
      var random = SplitMix64(seed: 3)
      for (rows, columns) in Self.shapes {
        let base = Self.base(element, rows * columns, &random, spice)
        var delta = Self.values(rows * columns, &random, spice, for: element.widened(base))
        let twin = MergeTwin(.additive, element, columns: columns, base: base, given: delta)
        KernelPaths.each { path in
          for shift in [0, 1, 3] {
            let found = store(base, rows: rows, shift: shift, inPlace: shift == 1) {
              from, to, statistics in
              delta.withUnsafeMutableBufferPointer {
                MergeRows.storeAdditive(
                  delta: RowBand(rows: 5..<5 + rows, columns: columns, values: $0), stored: from,
                  element: element, into: to, statistics: statistics)
              }
            }
            expect(found, twin, "\(path) \(element) \(rows)×\(columns)")
          }
        }
      }
    }

    @Test(arguments: ElementType.allCases, [FactorAxis.perRow, .perColumn, .perElement])
    func scaled(_ element: ElementType, axis: FactorAxis) {
      var random = SplitMix64(seed: 4)
      for spice in Spice.allCases {
        for (rows, columns) in Self.shapes {
          let base = Self.base(element, rows * columns, &random, spice)
          var delta = Self.values(rows * columns, &random, spice, for: element.widened(base))
          let factors = (0..<rows * columns).map { _ in
            Bool.random(using: &random) ? 1 : 1 + random.float(spice == .none ? 0.1 : 2)
          }
          let twin = MergeTwin(.scaled, element, columns: columns, base: base, given: delta) {
            switch axis {
            case .perRow: factors[$0]
            case .perColumn: factors[$1]
            case .perElement: factors[$0 * columns + $1]
            }
          }
          KernelPaths.each { path in
            for inPlace in [false, true] {
              let found = store(base, rows: rows, shift: 1, inPlace: inPlace) {
                from, to, statistics in
                delta.withUnsafeMutableBufferPointer { delta in
                  factors.withUnsafeBufferPointer {
                    MergeRows.storeScaled(
                      delta: RowBand(rows: 0..<rows, columns: columns, values: delta), factors: $0,
                      axis: axis, stored: from, element: element, into: to, statistics: statistics)
                  }
                }
              }
              expect(found, twin, "\(path) \(element) \(axis) \(rows)×\(columns)")
            }
          }
        }
      }
    }

    @Test(arguments: ElementType.allCases, Spice.allCases)
    func general(_ element: ElementType, spice: Spice) {
      var random = SplitMix64(seed: 5)
      for (rows, columns) in Self.shapes {
        let base = Self.base(element, rows * columns, &random, spice)
        var band = element.widened(base)
        let changes = Self.values(band.count, &random, spice, for: band)
        for at in band.indices where Bool.random(using: &random) {
          band[at] = Bool.random(using: &random) ? changes[at] : band[at] + changes[at]
        }
        let twin = MergeTwin(.general, element, columns: columns, base: base, given: band)
        KernelPaths.each { path in
          for inPlace in [false, true] {
            let found = store(base, rows: rows, shift: 1, inPlace: inPlace) {
              from, to, statistics in
              band.withUnsafeMutableBufferPointer {
                MergeRows.storeGeneral(
                  RowBand(rows: 0..<rows, columns: columns, values: $0), stored: from,
                  element: element, into: to, statistics: statistics)
              }
            }
            expect(found, twin, "\(path) \(element) \(rows)×\(columns)")
          }
        }
      }
    }

    static func term(
      rank: Int, rows: Int, columns: Int, _ random: inout SplitMix64, _ spice: Spice = .none
    ) -> LowRankFactors {
      LowRankFactors(
        rank: rank, rows: rows, columns: columns,
        b: values(rows * rank, &random, spice),
        a: values(rank * columns, &random, spice), scale: spice == .none ? 2 : -1.5)
    }

    @Test(arguments: [1, 2, 3, 15, 16, 17, 64, 100], [1, 2, 3])
    func lowRank(rank: Int, count: Int) {
      var random = SplitMix64(seed: UInt64(rank * 10 + count))
      let small = rank * count > 64
      for (rows, columns) in small ? [(9, 45)] : [(1, 1), (9, 45), (3, 540)] {
        let terms = (0..<count).map {
          Self.term(rank: rank + $0, rows: rows, columns: columns, &random)
        }
        let delta = MergeTwin.delta(terms, rows: 0..<rows, columns: columns)
        for element in ElementType.allCases {
          let base = Self.base(element, rows * columns, &random, .anything)
          let twin = MergeTwin(.additive, element, columns: columns, base: base, given: delta)
          KernelPaths.each { path in
            let found = store(base, rows: rows, shift: 1, inPlace: rank % 2 == 0) {
              from, to, statistics in
              MergeRows.mergeLowRank(
                terms, rows: 0..<rows, columns: columns, stored: from, element: element, into: to,
                statistics: statistics)
            }
            expect(found, twin, "\(path) \(element) \(rows)×\(columns), rank \(rank)")
          }
        }
      }
    }

    /// More columns and ranks than A's panels are made for at a time.
    @Test func lowRankOfSeveralPanels() {
      var random = SplitMix64(seed: 15)
      let (rows, columns) = (2, 1100)
      let terms = [150, 120].map { Self.term(rank: $0, rows: rows, columns: columns, &random) }
      let delta = MergeTwin.delta(terms, rows: 0..<rows, columns: columns)
      let base = Self.base(.bf16, rows * columns, &random, .anything)
      let twin = MergeTwin(.additive, .bf16, columns: columns, base: base, given: delta)
      KernelPaths.each { path in
        let found = store(base, rows: rows, shift: 1, inPlace: true) { from, to, statistics in
          MergeRows.mergeLowRank(
            terms, rows: 0..<rows, columns: columns, stored: from, element: .bf16, into: to,
            statistics: statistics)
        }
        expect(found, twin, path)
      }
    }

    /// Infinities, NaNs, zeros of both signs and products that vanish in the factors.
    @Test func lowRankOfAwkwardFactors() {
      var random = SplitMix64(seed: 6)
      let (rows, columns) = (9, 70)
      let terms = [
        Self.term(rank: 1, rows: rows, columns: columns, &random, .anything),
        Self.term(rank: 2, rows: rows, columns: columns, &random, .anything),
      ]
      for terms in [[terms[0]], [terms[1], terms[0]], []] {
        let delta = MergeTwin.delta(terms, rows: 0..<rows, columns: columns)
        for element in ElementType.allCases {
          let base = Self.base(element, rows * columns, &random, .anything)
          let twin = MergeTwin(.additive, element, columns: columns, base: base, given: delta)
          KernelPaths.each { path in
            let found = store(base, rows: rows, shift: 0, inPlace: true) { from, to, statistics in
              MergeRows.mergeLowRank(
                terms, rows: 0..<rows, columns: columns, stored: from, element: element, into: to,
                statistics: statistics)
            }
            expect(found, twin, "\(path) \(element), \(terms.count) terms")
          }
        }
      }
    }

    /// Bands of any height give the rows that the whole matrix gives, and so does a delta band.
    @Test func bandsDoNotMatter() {
      var random = SplitMix64(seed: 7)
      let (rows, columns) = (21, 67)
      let terms = [
        Self.term(rank: 5, rows: rows, columns: columns, &random),
        Self.term(rank: 3, rows: rows, columns: columns, &random),
      ]
      let base = Self.base(.bf16, rows * columns, &random, .none)
      let delta = MergeTwin.delta(terms, rows: 0..<rows, columns: columns)
      let twin = MergeTwin(.additive, .bf16, columns: columns, base: base, given: delta)
      KernelPaths.each { path in
        for height in [1, 2, 7, 8, 13] {
          for first in stride(from: 0, to: rows, by: height) {
            let band = first..<min(first + height, rows)
            let part = Array(base[band.lowerBound * columns * 2..<band.upperBound * columns * 2])
            let found = store(part, rows: band.count, shift: 0, inPlace: false) {
              from, to, statistics in
              MergeRows.mergeLowRank(
                terms, rows: band, columns: columns, stored: from, element: .bf16, into: to,
                statistics: statistics)
            }
            #expect(
              found.stored
                == Array(twin.stored[band.lowerBound * columns * 2..<band.upperBound * columns * 2])
            )
            #expect(found.statistics == Array(twin.statistics[band]), "\(path) rows \(band)")
            var values = [Float](repeating: 0, count: band.count * columns)
            values.withUnsafeMutableBufferPointer {
              MergeRows.addLowRank(terms, to: RowBand(rows: band, columns: columns, values: $0))
            }
            #expect(values == Array(delta[band.lowerBound * columns..<band.upperBound * columns]))
          }
        }
      }
    }
  }
}
