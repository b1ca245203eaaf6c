import CKernels

/// Which of the 256 values a scale's deviation takes. Files of either kind load everywhere.
public enum NestedRounding: String, Sendable, CaseIterable {
  /// As bitsandbytes on processors: through a table of 65536 steps, which misses the nearest value for
  /// one scale in 500 and never gives exactly 0.
  case bnbCPU = "bnb-cpu"
  /// The nearest value; an exact midpoint goes to the even code, as on graphics processors.
  case nearest
}

/// Scales quantized once more, "double quantization" (Dettmers et al., arXiv:2305.14314, section 3):
/// their mean is taken off, and the deviations are held in 8 bits, 256 of them to one f32.
public struct NestedScales: Sendable, Equatable {
  /// Scales that share one f32.
  public static let blockSize = 256
  /// The signed dynamic map, 256 values in ascending order.
  public static var defaultMap: [Float] { DynamicMap.signed.values }

  /// One code for each scale.
  public let codes: [UInt8]
  /// Largest deviation of each block of scales.
  public let absmax: [Float]
  /// What is added to every deviation.
  public let offset: Float
  /// Values of the codes.
  public let map: [Float]

  /// Blocks of so many scales.
  public static func blocks(scales: Int) -> Int { (scales + blockSize - 1) / blockSize }

  /// The offset of `scales`: their mean in f32, summed in the order of `torch.mean` on one thread.
  /// bitsandbytes' own offset depends on its number of threads from 32768 scales on; this is the one
  /// it gets with one thread, whatever ours. 0 when there are no scales.
  public static func offset(of scales: [Float]) -> Float {
    if scales.isEmpty { return 0 }
    return scales.withUnsafeBufferPointer {
      ck_cascade_sum($0.baseAddress, $0.count) / Float($0.count)
    }
  }

  /// Quantizes `scales`.
  ///
  /// - Parameter offset: nil for `offset(of:)`. Any number is sound, the closer to the mean the better.
  public init(quantizing scales: [Float], rounding: NestedRounding = .bnbCPU, offset: Float? = nil)
  {
    let offset = offset ?? Self.offset(of: scales)
    var codes = [UInt8](repeating: 0, count: scales.count)
    var absmax = [Float](repeating: 0, count: Self.blocks(scales: scales.count))
    switch rounding {
    case .bnbCPU:
      ck_nested_encode_by_lookup(
        scales, scales.count, offset, DynamicMap.signed.lookup, &codes, &absmax)
    case .nearest:
      ck_nested_encode_nearest(
        scales, scales.count, offset, DynamicMap.signed.midpoints, &codes, &absmax)
    }
    (self.codes, self.absmax, self.offset, map) = (codes, absmax, offset, DynamicMap.signed.values)
  }

  /// Scales as a file holds them.
  public init(
    codes: [UInt8], absmax: [Float], offset: Float, map: [Float] = NestedScales.defaultMap
  ) throws(QuantizationError) {
    let blocks = Self.blocks(scales: codes.count)
    guard absmax.count == blocks else {
      throw .size(part: .nestedScales, found: absmax.count, expected: blocks)
    }
    guard map.count == 256, map.allSatisfy(\.isFinite) else {
      throw .mapValues(count: map.count)
    }
    (self.codes, self.absmax, self.offset, self.map) = (codes, absmax, offset, map)
  }

  /// Restores the scales `range`: f32(f32(map[code] · absmax) + offset).
  public func restore(_ range: Range<Int>, into scales: UnsafeMutableBufferPointer<Float>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= codes.count)
    precondition(scales.count == range.count)
    ck_nested_restore(
      map, codes, absmax, offset, range.lowerBound, range.count, scales.baseAddress)
  }
}

/// The scales of a weight's blocks.
public enum BlockScales: Sendable, Equatable {
  case plain([Float])
  case nested(NestedScales)

  public var count: Int {
    switch self {
    case .plain(let scales): scales.count
    case .nested(let scales): scales.codes.count
    }
  }

  /// The scales `range` in f32.
  func withValues<Result>(
    _ range: Range<Int>, _ body: (UnsafeBufferPointer<Float>) -> Result
  ) -> Result {
    switch self {
    case .plain(let scales):
      scales.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[range])) }
    case .nested(let scales):
      withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) {
        scales.restore(range, into: $0)
        return body(UnsafeBufferPointer($0))
      }
    }
  }
}
