@testable import Kernels

/// What spec/numerics.md says of a stored band, one element at a time.
struct MergeTwin {
  enum Form {
    case additive, scaled, general
  }

  let element: ElementType
  let columns: Int
  private(set) var stored: [UInt8] = []
  private(set) var statistics: [RowStatistics] = []

  /// D of some low-rank terms on `rows`, row-major.
  static func delta(_ terms: [LowRankFactors], rows: Range<Int>, columns: Int) -> [Float] {
    var delta = [Float](repeating: 0, count: rows.count * columns)
    for term in terms {
      for row in rows {
        for column in 0..<columns {
          var sum: Float = 0
          for k in 0..<term.rank {
            sum = sum.addingProduct(
              term.b[row * term.rank + k], term.a[k * columns + column])
          }
          let at = (row - rows.lowerBound) * columns + column
          delta[at] = delta[at].addingProduct(term.scale, sum)
        }
      }
    }
    return delta
  }

  /// Stores a band.
  ///
  /// - Parameters:
  ///   - given: D, or W' for `.general`.
  ///   - factor: Q of a row and column.
  init(
    _ form: Form, _ element: ElementType, columns: Int, base: [UInt8], given: [Float],
    factor: (Int, Int) -> Float = { _, _ in 1 }
  ) {
    self.element = element
    self.columns = columns
    for row in 0..<(columns == 0 ? 0 : given.count / columns) {
      var total = RowStatistics()
      for first in stride(from: 0, to: columns, by: 512) {
        var deltaSquared = [Float](repeating: 0, count: 32)
        var keptDotDelta = deltaSquared
        var weightSquared = deltaSquared
        for column in first..<min(first + 512, columns) {
          let at = row * columns + column
          let bits = (0..<element.size).reduce(UInt32(0)) {
            $0 | UInt32(base[at * element.size + $1]) << UInt32(8 * $1)
          }
          let weight = element.twinWiden(bits)
          let wanted: Float
          let change: Float
          switch form {
          case .additive:
            wanted = given[at] == 0 ? weight : weight + given[at]
            change = given[at]
          case .scaled:
            wanted = (given[at] == 0 ? weight : weight + given[at]) * factor(row, column)
            change = wanted - weight
          case .general:
            wanted = given[at] == weight ? weight : given[at]
            change = wanted - weight
          }
          var merged = wanted.isNaN ? canonicalNaN : element.twinRound(wanted)
          if weight.isNaN { merged = bits }
          for byte in 0..<element.size { stored.append(UInt8(merged >> UInt32(8 * byte) & 0xFF)) }
          total.changed += merged == bits ? 0 : 1
          guard weight.isFinite else { continue }
          let kept = element.twinWiden(merged)
          total.overflowed += kept.isFinite ? 0 : 1
          let lane = column % 32
          deltaSquared[lane] = deltaSquared[lane].addingProduct(change, change)
          keptDotDelta[lane] = keptDotDelta[lane].addingProduct(kept - weight, change)
          weightSquared[lane] = weightSquared[lane].addingProduct(weight, weight)
        }
        total.deltaSquared += Double(treeSum(deltaSquared))
        total.keptDotDelta += Double(treeSum(keptDotDelta))
        total.weightSquared += Double(treeSum(weightSquared))
      }
      statistics.append(total)
    }
  }

  private var canonicalNaN: UInt32 {
    switch element {
    case .f32: 0x7FC0_0000
    case .f16: 0x7E00
    case .bf16: 0x7FC0
    }
  }

  /// Halves added to each other until one value is left.
  private func treeSum(_ lanes: [Float]) -> Float {
    var lanes = lanes
    while lanes.count > 1 {
      let half = lanes.count / 2
      lanes = (0..<half).map { lanes[$0] + lanes[$0 + half] }
    }
    return lanes[0]
  }
}

extension RowStatistics {
  /// Equal in bits; one NaN is like another.
  func matches(_ other: RowStatistics) -> Bool {
    func same(_ a: Double, _ b: Double) -> Bool { a == b || a.isNaN && b.isNaN }
    return same(deltaSquared, other.deltaSquared) && same(keptDotDelta, other.keptDotDelta)
      && same(weightSquared, other.weightSquared) && changed == other.changed
      && overflowed == other.overflowed
  }
}
