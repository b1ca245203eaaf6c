/// NumPy's `default_rng(seed)`: PCG64 seeded through `SeedSequence`, with the draws that adapter
/// formats are rebuilt from. The same seed gives the same numbers as NumPy, in the same order.
///
/// Source: O'Neill 2014, PCG-XSL-RR 128/64; the seeding and the bounded integers are those of
/// NumPy 1.17 and later, whose streams are kept stable.
public struct NumpyGenerator: Sendable {
  private static let multiplier: UInt128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645

  private var state: UInt128
  private let increment: UInt128
  /// The upper half of a 64-bit draw whose lower half `next32` has given away.
  private var pending: UInt32?

  public init(seed: UInt64) {
    let words = SeedSequence(entropy: seed).state(count: 4)
    let start = UInt128(words[0]) << 64 | UInt128(words[1])
    let stream = UInt128(words[2]) << 64 | UInt128(words[3])
    increment = stream << 1 | 1
    state = (increment &+ start) &* Self.multiplier &+ increment
  }

  /// The next 64 bits of the stream.
  public mutating func next64() -> UInt64 {
    state = state &* Self.multiplier &+ increment
    let folded = UInt64(truncatingIfNeeded: state >> 64) ^ UInt64(truncatingIfNeeded: state)
    let rotation = UInt64(truncatingIfNeeded: state >> 122)
    return folded >> rotation | folded << ((64 &- rotation) & 63)
  }

  /// The next 32 bits: a 64-bit draw serves twice, the lower half first.
  public mutating func next32() -> UInt32 {
    if let upper = pending {
      pending = nil
      return upper
    }
    let word = next64()
    pending = UInt32(truncatingIfNeeded: word >> 32)
    return UInt32(truncatingIfNeeded: word)
  }

  /// A number of 0…`limit`, each equally likely (Lemire 2019).
  public mutating func integer(through limit: Int) -> Int {
    precondition(limit >= 0)
    if limit == 0 { return 0 }
    if limit == 0xffff_ffff { return Int(next32()) }
    if limit < 0xffff_ffff {
      let width = UInt32(limit) + 1
      let threshold = (0 &- width) % width
      while true {
        let product = UInt64(next32()) * UInt64(width)
        if UInt32(truncatingIfNeeded: product) >= threshold { return Int(product >> 32) }
      }
    }
    let width = UInt64(limit) + 1
    let threshold = (0 &- width) % width
    while true {
      let product = next64().multipliedFullWidth(by: width)
      if product.low >= threshold { return Int(product.high) }
    }
  }

  /// A number of 0…`limit`, each equally likely, by drawing until one of as many bits fits: what
  /// `shuffle` does.
  private mutating func maskedInteger(through limit: Int) -> Int {
    guard limit > 0 else { return 0 }
    let mask = UInt64.max >> UInt64(limit.leadingZeroBitCount)
    while true {
      let word = limit <= 0xffff_ffff ? UInt64(next32()) : next64()
      if word & mask <= UInt64(limit) { return Int(word & mask) }
    }
  }

  /// As `generator.shuffle(values)`.
  public mutating func shuffle(_ values: inout [Int]) {
    for position in stride(from: values.count - 1, through: 1, by: -1) {
      values.swapAt(position, maskedInteger(through: position))
    }
  }

  /// As `generator.choice(population, size: count, replace: False)`: distinct numbers below
  /// `population`.
  public mutating func choice(_ population: Int, count: Int) -> [Int] {
    precondition(count <= population)
    if population > 10_000 && count > population / 50 {
      var all = Array(0..<population)
      shuffleTail(&all, from: max(population - count, 1))
      return Array(all[(population - count)...])
    }
    // Floyd's algorithm, then a shuffle (of another kind than the public one).
    var chosen = Set<Int>(minimumCapacity: count)
    var result: [Int] = []
    result.reserveCapacity(count)
    for last in (population - count)..<population {
      let drawn = integer(through: last)
      let value = chosen.contains(drawn) ? last : drawn
      chosen.insert(value)
      result.append(value)
    }
    shuffleTail(&result, from: 1)
    return result
  }

  /// Swaps every position from the end down to `first` with one at or before it.
  private mutating func shuffleTail(_ values: inout [Int], from first: Int) {
    for position in stride(from: values.count - 1, through: first, by: -1) {
      values.swapAt(position, integer(through: position))
    }
  }
}

/// NumPy's `SeedSequence` of one non-negative integer: a pool of four words, mixed so that every bit
/// of the seed reaches every bit of the state.
private struct SeedSequence {
  private var pool = [UInt32](repeating: 0, count: 4)

  init(entropy: UInt64) {
    var words = [UInt32(truncatingIfNeeded: entropy)]
    if entropy >> 32 != 0 { words.append(UInt32(truncatingIfNeeded: entropy >> 32)) }
    var hash = Hash(constant: 0x43b0_d7e5, multiplier: 0x931e_8875)
    for index in pool.indices { pool[index] = hash.mix(index < words.count ? words[index] : 0) }
    for source in pool.indices {
      for target in pool.indices where target != source {
        let left = 0xca01_f9dd &* pool[target]
        let right = 0x4973_f715 &* hash.mix(pool[source])
        let difference = left &- right
        pool[target] = difference ^ difference >> 16
      }
    }
  }

  /// As `generate_state(count, uint64)`.
  func state(count: Int) -> [UInt64] {
    var hash = Hash(constant: 0x8b51_f9dd, multiplier: 0x58f3_8ded)
    return (0..<count).map { index in
      let low = hash.mix(pool[2 * index % pool.count])
      let high = hash.mix(pool[(2 * index + 1) % pool.count])
      return UInt64(high) << 32 | UInt64(low)
    }
  }

  private struct Hash {
    var constant: UInt32
    let multiplier: UInt32

    mutating func mix(_ word: UInt32) -> UInt32 {
      let mixed = word ^ constant
      constant &*= multiplier
      let product = mixed &* constant
      return product ^ product >> 16
    }
  }
}
