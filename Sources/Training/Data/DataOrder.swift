/// In which order examples come, and which are held out.
public enum DataOrder {
  /// `indices` in the order of an epoch: the epoch's generator is seeded with output number `epoch` of
  /// the generator of `seed`.
  public static func shuffled(_ indices: [Int], seed: UInt64, epoch: Int) -> [Int] {
    var seeds = SplitMix64(seed: seed)
    for _ in 0..<epoch { _ = seeds.next() }
    var generator = SplitMix64(seed: seeds.next())
    var shuffled = indices
    generator.shuffle(&shuffled)
    return shuffled
  }

  /// Sets examples apart for evaluation.
  ///
  /// - Parameters:
  ///   - count: how many examples there are.
  ///   - heldOut: how many are set apart; at most `count`.
  /// - Returns: the indices of both parts, ascending.
  public static func split(
    count: Int, heldOut: Int, seed: UInt64
  ) -> (training: [Int], evaluation: [Int]) {
    var indices = Array(0..<count)
    // Another stream than that of the epochs.
    var generator = SplitMix64(seed: seed ^ 0x6576_616C_7561_7465)
    generator.shuffle(&indices)
    let held = min(max(heldOut, 0), count)
    return (indices[held...].sorted(), indices[..<held].sorted())
  }
}
