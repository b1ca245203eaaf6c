import CKernels

/// A weight in 4 bits, with all that it takes to restore it.
public struct FourBitTensor: Sendable, Equatable {
  public let format: FourBitFormat
  /// Elements of the weight.
  public let elements: Int
  /// The codes, two to a byte.
  public let packed: [UInt8]
  public let scales: BlockScales

  /// The weight as a file holds it.
  public init(
    format: FourBitFormat, elements: Int, packed: [UInt8], scales: BlockScales
  ) throws(QuantizationError) {
    let bytes = format.packedBytes(elements: elements), blocks = format.blocks(elements: elements)
    guard packed.count == bytes else {
      throw .size(part: .codes, found: packed.count, expected: bytes)
    }
    guard scales.count == blocks else {
      throw .size(part: .scales, found: scales.count, expected: blocks)
    }
    (self.format, self.elements, self.packed, self.scales) = (format, elements, packed, scales)
  }

  /// Quantizes a weight that is in memory.
  ///
  /// - Parameters:
  ///   - source: stored elements, row-major.
  ///   - doubleQuantization: how the scales are rounded to 8 bits; nil leaves them in f32.
  public init(
    quantizing source: UnsafeRawBufferPointer, as element: ElementType, format: FourBitFormat,
    doubleQuantization: NestedRounding? = .bnbCPU
  ) throws(QuantizationError) {
    let elements = source.count / element.size
    var packed = [UInt8](repeating: 0, count: format.packedBytes(elements: elements))
    var absmax = [Float](repeating: 0, count: format.blocks(elements: elements))
    packed.withUnsafeMutableBytes { packed in
      absmax.withUnsafeMutableBufferPointer { absmax in
        format.encode(source, as: element, packed: packed, absmax: absmax)
      }
    }
    if absmax.contains(where: { !$0.isFinite }), let index = element.firstNonFinite(in: source) {
      throw .notFinite(index: index)
    }
    let scales: BlockScales =
      doubleQuantization.map { .nested(NestedScales(quantizing: absmax, rounding: $0)) }
      ?? .plain(absmax)
    try self.init(format: format, elements: elements, packed: packed, scales: scales)
  }

  /// Decodes elements `range`, row-major, rounded once to `element`.
  ///
  /// - Parameter destination: receives them, at any alignment.
  public func decode(
    _ range: Range<Int>, as element: ElementType, into destination: UnsafeMutableRawBufferPointer
  ) {
    precondition(range.lowerBound >= 0 && range.upperBound <= elements)
    guard !range.isEmpty else { return }
    let first = range.lowerBound / format.blockSize
    let start = first * format.blockSize
    scales.withValues(first..<format.blocks(elements: range.upperBound)) { absmax in
      packed.withUnsafeBytes { packed in
        format.decode(
          range.lowerBound - start..<range.upperBound - start,
          packed: UnsafeRawBufferPointer(rebasing: packed[(start / 2)...]), absmax: absmax,
          as: element, into: destination)
      }
    }
  }

  /// Elements that are measured together by `errors`.
  public static let run = Int(CK_FOUR_BIT_RUN)

  /// What was lost in each of the runs `range`; run k holds elements `4096·k ..< 4096·(k + 1)`, the last
  /// one what is left.
  ///
  /// - Parameter source: the original elements of those runs, row-major, of any alignment.
  public func errors(
    of source: UnsafeRawBufferPointer, as element: ElementType, runs range: Range<Int>
  ) -> [ReconstructionError] {
    let start = range.lowerBound * Self.run
    precondition(
      source.count == (min(range.upperBound * Self.run, elements) - start) * element.size)
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.run) { scratch in
      range.map { run in
        let part = run * Self.run..<min((run + 1) * Self.run, elements)
        let decoded = UnsafeMutableBufferPointer(rebasing: scratch[..<part.count])
        decode(part, as: .f32, into: UnsafeMutableRawBufferPointer(decoded))
        let from = (part.lowerBound - start) * element.size
        let bytes = source[from..<from + part.count * element.size]
        return ReconstructionError(
          of: UnsafeRawBufferPointer(rebasing: bytes), as: element,
          decoded: UnsafeBufferPointer(decoded))
      }
    }
  }
}
