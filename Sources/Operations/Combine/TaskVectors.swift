import Kernels

/// PEFT's operators on one tensor of several adapters (`peft.utils.merge_utils`), in f32.
struct TaskVectors {
  /// Every adapter's tensor, of the same shape.
  var tensors: [[Float]]
  let weights: [Float]

  /// Combines as `mode` says.
  ///
  /// - Parameters:
  ///   - density: the part of every tensor that is kept; 1 keeps all.
  ///   - generator: gives one number of 0 ..< 1 per element, adapter by adapter, of random modes.
  static func combined(
    _ tensors: [[Float]], weights: [Float], mode: CombinationMode, density: Double,
    majoritySign: MajoritySign, generator: inout NumpyGenerator
  ) -> [Float] {
    var vectors = TaskVectors(tensors: tensors, weights: weights)
    if mode.needsDensity, density < 1 {
      if mode.prunesAtRandom {
        vectors.pruneAtRandom(density: density, generator: &generator)
      } else {
        vectors.pruneByMagnitude(density: density)
      }
    }
    return mode.electsSigns ? vectors.disjointSum(majoritySign) : vectors.sum()
  }

  /// Σ w·t.
  func sum() -> [Float] {
    var result = [Float](repeating: 0, count: tensors.first?.count ?? 0)
    for (tensor, weight) in zip(tensors, weights) {
      for index in result.indices { result[index] += tensor[index] * weight }
    }
    return result
  }

  /// Keeps the ⌊density·n⌋ elements of greatest magnitude; of equal ones the first.
  mutating func pruneByMagnitude(density: Double) {
    for index in tensors.indices { Self.keepLargest(&tensors[index], density: density) }
  }

  /// Keeps each element with probability `density`, divided by it.
  mutating func pruneAtRandom(density: Double, generator: inout NumpyGenerator) {
    for tensor in tensors.indices {
      for index in tensors[tensor].indices {
        let kept = Double(generator.next64() >> 11) * 0x1p-53 < density
        tensors[tensor][index] = kept ? tensors[tensor][index] / Float(density) : 0
      }
    }
  }

  /// The weighted mean over the tensors that have the elected sign; weights do not vote.
  func disjointSum(_ majoritySign: MajoritySign) -> [Float] {
    var result = [Float](repeating: 0, count: tensors.first?.count ?? 0)
    for index in result.indices {
      var votes: Float = 0
      for tensor in tensors {
        votes += majoritySign == .total ? tensor[index] : Self.sign(tensor[index])
      }
      let elected: Float = votes >= 0 ? 1 : -1
      var sum: Float = 0
      var count: Float = 0
      for (tensor, weight) in zip(tensors, weights) where Self.sign(tensor[index]) == elected {
        sum += tensor[index] * weight
        count += 1
      }
      result[index] = sum / max(count, 1)
    }
    return result
  }

  private static func sign(_ value: Float) -> Float { value > 0 ? 1 : value < 0 ? -1 : 0 }

  private static func keepLargest(_ tensor: inout [Float], density: Double) {
    let kept = Int(density * Double(tensor.count))
    guard kept > 0 else {
      for index in tensor.indices { tensor[index] = 0 }
      return
    }
    // The kept-th largest magnitude, by its upper and then its lower half: magnitudes of floats are
    // ordered as their bits.
    func magnitude(_ value: Float) -> UInt32 { value.bitPattern & 0x7fff_ffff }
    func threshold(_ wanted: Int, _ part: (Float) -> Int?) -> (part: Int, left: Int) {
      var counts = [Int](repeating: 0, count: 1 << 16)
      for value in tensor { if let part = part(value) { counts[part] += 1 } }
      var left = wanted
      for part in counts.indices.reversed() {
        if counts[part] >= left { return (part, left) }
        left -= counts[part]
      }
      return (0, left)
    }
    let high = threshold(kept) { Int(magnitude($0) >> 16) }
    let low = threshold(high.left) {
      Int(magnitude($0) >> 16) == high.part ? Int(magnitude($0) & 0xffff) : nil
    }
    let limit = UInt32(high.part << 16 | low.part)
    var equal = low.left
    for index in tensor.indices {
      let own = magnitude(tensor[index])
      if own == limit, equal > 0 {
        equal -= 1
      } else if own <= limit {
        tensor[index] = 0
      }
    }
  }
}
