/// MT19937 (Matsumoto and Nishimura 1998), seeded as `init_genrand`: the engine behind PyTorch's CPU
/// generator.
public struct MersenneTwister: RandomNumberGenerator, Sendable {
  private static let size = 624
  private static let middle = 397

  private var state: [UInt32]
  private var index = MersenneTwister.size

  public init(seed: UInt32) {
    state = [UInt32](repeating: seed, count: Self.size)
    for position in 1..<Self.size {
      let previous = state[position - 1]
      state[position] = 1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(position)
    }
  }

  /// The next 32 bits of the stream.
  public mutating func next32() -> UInt32 {
    if index == Self.size { refill() }
    var word = state[index]
    index += 1
    word ^= word >> 11
    word ^= (word << 7) & 0x9d2c_5680
    word ^= (word << 15) & 0xefc6_0000
    return word ^ (word >> 18)
  }

  /// The next 64 bits: two words of the stream, the first one high.
  public mutating func next() -> UInt64 {
    let high = next32()
    return UInt64(high) << 32 | UInt64(next32())
  }

  private mutating func refill() {
    state.withUnsafeMutableBufferPointer { words in
      for position in 0..<Self.size {
        let following = words[(position + 1) % Self.size]
        let mixed = (words[position] & 0x8000_0000) | (following & 0x7fff_ffff)
        let twist: UInt32 = following & 1 == 0 ? 0 : 0x9908_b0df
        words[position] = words[(position + Self.middle) % Self.size] ^ (mixed >> 1) ^ twist
      }
    }
    index = 0
  }
}
