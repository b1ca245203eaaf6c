/// How many relative changes lie in each of a few ranges.
public struct ChangeHistogram: Sendable, Equatable {
  /// The ranges' ends, one more than ranges: where the values differ by less than a factor of ten,
  /// multiples of 1, 2 or 5 times a power of ten; otherwise half powers of ten.
  public let edges: [Double]
  /// Values in each range, its lower end included.
  public let counts: [Int]

  /// - Parameter values: relative changes; those of zero are left out.
  init(_ values: [Double]) {
    let values = values.filter { $0 > 0 && $0.isFinite }
    guard let least = values.min(), let most = values.max() else {
      (edges, counts) = ([], [])
      return
    }
    let edges = most < 10 * least ? Self.even(least, most) : Self.logarithmic(least, most)
    self.edges = edges
    counts = zip(edges, edges.dropFirst()).map { low, high in
      values.count { $0 >= low && $0 < high }
    }
  }

  /// Some ten even steps from below `least` to above `most`.
  private static func even(_ least: Double, _ most: Double) -> [Double] {
    let wanted = max((most - least) / 10, least / 1000)
    var (exponent, factor) = (-20, 1.0)
    while power(exponent, of: 10) * factor < wanted {
      (exponent, factor) =
        factor == 1 ? (exponent, 2) : factor == 2 ? (exponent, 5) : (exponent + 1, 1)
    }
    // Multiplied and divided by whole numbers, so that 0.3 is 0.3.
    func edge(_ index: Double) -> Double {
      exponent < 0
        ? index * factor / power(-exponent, of: 10) : index * factor * power(exponent, of: 10)
    }
    var index = (least / edge(1)).rounded(.down)
    while edge(index) > least { index -= 1 }
    var edges = [edge(index)]
    while edges[edges.count - 1] <= most {
      index += 1
      edges.append(edge(index))
    }
    return edges
  }

  private static func logarithmic(_ least: Double, _ most: Double) -> [Double] {
    /// √10 to the power of `half`.
    func edge(_ half: Int) -> Double {
      let whole = half >= 0 ? half / 2 : (half - 1) / 2
      return power(whole, of: 10) * (half == 2 * whole ? 1 : 10.0.squareRoot())
    }
    // From below the least that two numbers can differ by.
    var half = -700
    while edge(half + 1) <= least { half += 1 }
    var edges = [edge(half)]
    while edges[edges.count - 1] <= most {
      half += 1
      edges.append(edge(half))
    }
    return edges
  }

  private static func power(_ exponent: Int, of base: Double) -> Double {
    var power = 1.0
    for _ in 0..<abs(exponent) { power *= base }
    return exponent < 0 ? 1 / power : power
  }
}
