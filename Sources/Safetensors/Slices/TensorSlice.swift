/// What to take of one dimension.
public enum SliceIndex: Equatable, Sendable {
  case all
  /// The half-open range from `start` to `stop`; nil: to the end.
  case range(start: Int, stop: Int?)
  /// One index, whose dimension disappears; negative ones count from the end.
  case select(Int)
}

/// Why a slice does not fit a tensor.
public enum SliceError: Error, Equatable, Sendable {
  /// More indices than dimensions.
  case tooManyIndices(count: Int, rank: Int)
  /// The index is not one of the dimension's `size`.
  case outOfBounds(index: Int, dimension: Int, size: Int)
  /// A type of less than a byte, and a cut inside of a byte.
  case misaligned(dimension: Int)
}

/// A part of a row-major tensor, as the runs of bytes that make it up.
///
/// Dimensions without an index are taken whole. As in the format's reference, a range must start
/// inside its dimension (`[10...]` of 10 is an error) and may not run past it.
public struct TensorSlice: Sendable {
  /// Of the part: selected dimensions are gone.
  public let shape: [Int]
  /// The runs of bytes, ascending, from the start of the tensor.
  public let byteRanges: ByteRanges
  /// The bytes of all runs.
  public let byteCount: Int

  public init(of tensor: TensorInfo, _ indices: [SliceIndex]) throws(SliceError) {
    try self.init(dtype: tensor.dtype, shape: tensor.shape, indices)
  }

  /// - Precondition: a tensor of this type and shape has a size (`DType.byteCount`).
  public init(
    dtype: DType, shape: [Int], _ indices: [SliceIndex]
  ) throws(SliceError) {
    guard indices.count <= shape.count else {
      throw .tooManyIndices(count: indices.count, rank: shape.count)
    }
    var bounds: [Range<Int>] = []
    var part: [Int] = []
    for (dimension, size) in shape.enumerated() {
      let index = dimension < indices.count ? indices[dimension] : .all
      let range = try Self.bounds(of: index, dimension: dimension, size: size)
      bounds.append(range)
      if case .select = index { continue }
      part.append(range.count)
    }
    self.shape = part
    if shape.contains(0) || part.contains(0) {
      byteRanges = ByteRanges(run: 0..<0, strides: [])
      byteCount = 0
      return
    }

    // From the last dimension to the first: whole dimensions join the run of bytes; the first that is
    // cut bounds the run; those before it repeat it.
    var span = dtype.bits
    var run: Range<Int>?
    var strides: [ByteRanges.Stride] = []
    for (dimension, size) in shape.enumerated().reversed() {
      let range = bounds[dimension]
      if run != nil || range != 0..<size {
        guard range.lowerBound * span % 8 == 0, range.upperBound * span % 8 == 0 else {
          throw .misaligned(dimension: dimension)
        }
        let start = range.lowerBound * span / 8
        if run == nil {
          run = start..<range.upperBound * span / 8
        } else {
          guard range.count == 1 || span % 8 == 0 else { throw .misaligned(dimension: dimension) }
          strides.append(.init(start: start, count: range.count, bytes: span / 8))
        }
      }
      span *= size
    }
    byteRanges = ByteRanges(run: run ?? 0..<span / 8, strides: strides.reversed())
    byteCount = strides.reduce(byteRanges.run.count) { $0 * $1.count }
  }

  private static func bounds(
    of index: SliceIndex, dimension: Int, size: Int
  ) throws(SliceError) -> Range<Int> {
    switch index {
    case .all: return 0..<size
    case .select(let index):
      let resolved = index < 0 ? index + size : index
      guard (0..<size).contains(resolved) else {
        throw .outOfBounds(index: index, dimension: dimension, size: size)
      }
      return resolved..<resolved + 1
    case .range(let start, let stop):
      let stop = stop ?? size
      guard start >= 0, start < size else {
        throw .outOfBounds(index: start, dimension: dimension, size: size)
      }
      guard stop >= start, stop <= size else {
        throw .outOfBounds(index: stop - 1, dimension: dimension, size: size)
      }
      return start..<stop
    }
  }
}

/// The runs of bytes of a slice, made one at a time: a column of a large matrix has millions.
public struct ByteRanges: Sequence, Sendable {
  /// A dimension that repeats the run: `count` times, `bytes` apart, from `start`.
  struct Stride: Sendable {
    let start: Int
    let count: Int
    let bytes: Int
  }

  let run: Range<Int>
  /// From the outermost dimension to the innermost.
  let strides: [Stride]

  public func makeIterator() -> Iterator { Iterator(self) }

  public struct Iterator: IteratorProtocol {
    private let ranges: ByteRanges
    private var counters: [Int]
    private var isDone: Bool

    init(_ ranges: ByteRanges) {
      self.ranges = ranges
      counters = [Int](repeating: 0, count: ranges.strides.count)
      isDone = ranges.run.isEmpty
    }

    public mutating func next() -> Range<Int>? {
      if isDone { return nil }
      let offset = zip(ranges.strides, counters).reduce(0) {
        $0 + $1.0.start + $1.1 * $1.0.bytes
      }
      isDone = true
      for i in counters.indices.reversed() {
        counters[i] += 1
        if counters[i] < ranges.strides[i].count {
          isDone = false
          break
        }
        counters[i] = 0
      }
      return offset + ranges.run.lowerBound..<offset + ranges.run.upperBound
    }
  }
}
