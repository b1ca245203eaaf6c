/// The generator SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
/// generators"): the order of data depends on the seed only.
public struct SplitMix64: Sendable {
  private var state: UInt64

  public init(seed: UInt64) {
    state = seed
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number below `bound`, each as likely: the upper half of a product, and rejection of the
  /// products that would favour some (Lemire 2019, arXiv:1805.10941).
  ///
  /// - Precondition: `bound > 0`.
  public mutating func next(below bound: UInt64) -> UInt64 {
    var product = next().multipliedFullWidth(by: bound)
    if product.low < bound {
      let threshold = (0 &- bound) % bound
      while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
    }
    return product.high
  }

  /// The elements in random order (Fisher & Yates, from the end).
  public mutating func shuffle<Element>(_ elements: inout [Element]) {
    for i in stride(from: elements.count - 1, to: 0, by: -1) {
      elements.swapAt(i, Int(next(below: UInt64(i + 1))))
    }
  }
}
