import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Merging {
    /// Stored weights: mostly ordinary, with zeros of both signs, subnormals, the largest numbers,
    /// infinities and NaNs with payloads among them.
    static func base(
      _ element: ElementType, _ count: Int, _ random: inout SplitMix64, awkward: Bool
    ) -> [UInt8] {
      var bytes = element.rounded(random.floats(count, 0.1))
      guard awkward else { return bytes }
      for at in 0..<count where UInt8.random(in: 0..<8, using: &random) == 0 {
        let top: [UInt8] =
          element == .f16
          ? [0x00, 0x80, 0x7C, 0xFC, 0x7D, 0xFE, 0x7B] : [0x00, 0x80, 0x7F, 0xFF, 0x7F, 0xFF, 0x7F]
        let next: [UInt8] =
          element == .f16 ? [0, 0, 0, 0, 1, 0xFF, 0xFF] : [0, 0, 0x80, 0x80, 0x81, 0xFF, 0x7F]
        let pick = Int.random(in: 0..<8, using: &random)
        let last = (at + 1) * element.size - 1
        for byte in at * element.size..<last { bytes[byte] = 0 }
        if pick < 7 {
          bytes[last] = top[pick]
          bytes[last - 1] = next[pick]
        } else {
          bytes[last] = 0
          bytes[last - 1] = 1  // a subnormal
        }
      }
      return bytes
    }

    static func values(_ count: Int, _ random: inout SplitMix64, awkward: Bool) -> [Float] {
      var values = random.floats(count, 0.01)
      guard awkward else { return values }
      let tiny = Float(bitPattern: 700)  // subnormal
      let special: [Float] = [0, -0.0, tiny, -1e-30, .infinity, -.infinity, .nan, 3e38, -1e5, 1]
      for at in 0..<count where UInt8.random(in: 0..<6, using: &random) == 0 {
        values[at] = special[Int.random(in: 0..<special.count, using: &random)]
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

    static let shapes = [(1, 1), (3, 31), (8, 32), (9, 33), (2, 256), (11, 300), (5, 555)]

    @Test(arguments: ElementType.allCases, [false, true])
    func additive(_ element: ElementType, awkward: Bool) {
      var random = SplitMix64(seed: 3)
      for (rows, columns) in Self.shapes {
        let base = Self.base(element, rows * columns, &random, awkward: awkward)
        var delta = Self.values(rows * columns, &random, awkward: awkward)
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
      for awkward in [false, true] {
        for (rows, columns) in Self.shapes {
          let base = Self.base(element, rows * columns, &random, awkward: awkward)
          var delta = Self.values(rows * columns, &random, awkward: awkward)
          let factors = (0..<rows * columns).map { _ in
            Bool.random(using: &random) ? 1 : 1 + random.float(awkward ? 2 : 0.1)
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

    @Test(arguments: ElementType.allCases, [false, true])
    func general(_ element: ElementType, awkward: Bool) {
      var random = SplitMix64(seed: 5)
      for (rows, columns) in Self.shapes {
        let base = Self.base(element, rows * columns, &random, awkward: awkward)
        var band = element.widened(base)
        for at in band.indices where Bool.random(using: &random) {
          band[at] = Self.values(1, &random, awkward: awkward)[0]
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
      rank: Int, rows: Int, columns: Int, _ random: inout SplitMix64, awkward: Bool = false
    ) -> LowRankFactors {
      LowRankFactors(
        rank: rank, rows: rows, columns: columns,
        b: values(rows * rank, &random, awkward: awkward),
        a: values(rank * columns, &random, awkward: awkward), scale: awkward ? -1.5 : 2)
    }

    @Test(arguments: [1, 2, 3, 15, 16, 17, 64, 100], [1, 2, 3])
    func lowRank(rank: Int, count: Int) {
      var random = SplitMix64(seed: UInt64(rank * 10 + count))
      let small = rank * count > 64
      for (rows, columns) in small ? [(9, 45)] : [(1, 1), (9, 45), (3, 270)] {
        let terms = (0..<count).map {
          Self.term(rank: rank + $0, rows: rows, columns: columns, &random)
        }
        let delta = MergeTwin.delta(terms, rows: 0..<rows, columns: columns)
        for element in ElementType.allCases {
          let base = Self.base(element, rows * columns, &random, awkward: true)
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

    /// Infinities, NaNs, zeros of both signs and products that vanish in the factors.
    @Test func lowRankOfAwkwardFactors() {
      var random = SplitMix64(seed: 6)
      let (rows, columns) = (9, 70)
      let terms = [
        Self.term(rank: 1, rows: rows, columns: columns, &random, awkward: true),
        Self.term(rank: 2, rows: rows, columns: columns, &random, awkward: true),
      ]
      for terms in [[terms[0]], [terms[1], terms[0]], []] {
        let delta = MergeTwin.delta(terms, rows: 0..<rows, columns: columns)
        for element in ElementType.allCases {
          let base = Self.base(element, rows * columns, &random, awkward: true)
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
      let base = Self.base(.bf16, rows * columns, &random, awkward: false)
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
