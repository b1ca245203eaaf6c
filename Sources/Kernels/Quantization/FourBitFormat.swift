import CKernels

/// How a weight is held in 4 bits: the code, and how many elements share a scale. Blocks run through
/// the elements in row-major order, across the ends of rows (spec/nf4-checkpoint.md).
public struct FourBitFormat: Sendable, Equatable {
  /// The block sizes of bitsandbytes.
  public static let blockSizes = [32, 64, 128, 256, 512, 1024, 2048, 4096]

  public let code: FourBitCode
  public let blockSize: Int

  public init(code: FourBitCode = .nf4, blockSize: Int = 64) throws(QuantizationError) {
    guard Self.blockSizes.contains(blockSize) else { throw .blockSize(blockSize) }
    (self.code, self.blockSize) = (code, blockSize)
  }

  /// Bytes of the packed codes of `elements`: two to a byte.
  public func packedBytes(elements: Int) -> Int { (elements + 1) / 2 }

  /// Blocks, and so scales, of `elements`.
  public func blocks(elements: Int) -> Int { (elements + blockSize - 1) / blockSize }

  /// Bytes of the packed codes and constants of `elements`: the scales in f32, or in 8 bits with one
  /// f32 for 256 of them. Tables and the offset, the same for any size, are not counted.
  public func storedBytes(elements: Int, doubleQuantized: Bool) -> Int {
    let blocks = blocks(elements: elements)
    let scales = doubleQuantized ? blocks + 4 * NestedScales.blocks(scales: blocks) : 4 * blocks
    return packedBytes(elements: elements) + scales
  }

  /// What `storedBytes` comes to for each element of a large weight, in bits: 4.5 for blocks of 64,
  /// 4.126953125 with double quantization.
  public func bitsPerParameter(doubleQuantized: Bool) -> Double {
    let scale = doubleQuantized ? 8 + 32 / Double(NestedScales.blockSize) : 32
    return 4 + scale / Double(blockSize)
  }

  /// Quantizes elements, the first of which starts a block, by the rule of bitsandbytes for
  /// processors, to the last bit. In every full block `s = x · f32(1 / max(absmax, 1e-38))`, in a short
  /// one at the end `s = x / max(absmax, 1e-38)`; the code is that of the nearest value, of two equally
  /// near ones the lower. Ranges of blocks may be quantized at the same time.
  ///
  /// A block's scale is infinite or NaN exactly when one of its elements is.
  ///
  /// - Parameters:
  ///   - source: stored elements, of any alignment; where they end within a block, the tensor ends.
  ///   - packed: receives `packedBytes(elements:)` bytes, the first element of two in the high half.
  ///   - absmax: receives `blocks(elements:)` scales.
  public func encode(
    _ source: UnsafeRawBufferPointer, as element: ElementType,
    packed: UnsafeMutableRawBufferPointer, absmax: UnsafeMutableBufferPointer<Float>
  ) {
    let count = source.count / element.size
    precondition(source.count == count * element.size)
    precondition(packed.count == packedBytes(elements: count))
    precondition(absmax.count == blocks(elements: count))
    guard let from = source.baseAddress, let to = packed.baseAddress else { return }
    var kernelCode = code.kernelCode
    ck_four_bit_encode(
      &kernelCode, element.kernelElement, from, count, blockSize,
      to.assumingMemoryBound(to: UInt8.self), absmax.baseAddress)
  }

  /// The scales that `encode` finds, alone.
  ///
  /// - Parameter absmax: receives `blocks(elements:)` scales.
  public func findScales(
    of source: UnsafeRawBufferPointer, as element: ElementType,
    into absmax: UnsafeMutableBufferPointer<Float>
  ) {
    let count = source.count / element.size
    precondition(source.count == count * element.size && absmax.count == blocks(elements: count))
    guard let from = source.baseAddress else { return }
    ck_four_bit_scales(element.kernelElement, from, count, blockSize, absmax.baseAddress)
  }

  /// Quantizes elements, as `encode`, and finds what is lost.
  ///
  /// - Parameters:
  ///   - absmax: what `findScales` found.
  ///   - restored: the scales that decoding will have: the same, or what 8 bits leave of them.
  /// - Returns: the error of each run of `FourBitTensor.run` elements.
  public func encode(
    _ source: UnsafeRawBufferPointer, as element: ElementType,
    absmax: UnsafeBufferPointer<Float>, restored: UnsafeBufferPointer<Float>,
    packed: UnsafeMutableRawBufferPointer
  ) -> [ReconstructionError] {
    let count = source.count / element.size
    precondition(source.count == count * element.size)
    precondition(packed.count == packedBytes(elements: count))
    precondition(absmax.count == blocks(elements: count) && restored.count == absmax.count)
    guard let from = source.baseAddress, let to = packed.baseAddress else { return [] }
    let run = FourBitTensor.run
    let runs = (count + run - 1) / run
    return withUnsafeTemporaryAllocation(of: ck_quantization_error.self, capacity: runs) { errors in
      var kernelCode = code.kernelCode
      ck_four_bit_encode_measured(
        &kernelCode, element.kernelElement, from, count, blockSize, absmax.baseAddress,
        restored.baseAddress, to.assumingMemoryBound(to: UInt8.self), errors.baseAddress)
      return (0..<runs).map {
        ReconstructionError(errors[$0], elements: min(run, count - $0 * run))
      }
    }
  }

  /// Decodes `elements`: f32(value · scale), rounded once, to nearest even, to `element`. A NaN is the
  /// positive quiet one without payload.
  ///
  /// - Parameters:
  ///   - elements: counted from the first one of `packed`, which starts a block.
  ///   - absmax: the scales from that block on.
  ///   - destination: receives the elements, at any alignment.
  public func decode(
    _ elements: Range<Int>, packed: UnsafeRawBufferPointer, absmax: UnsafeBufferPointer<Float>,
    as element: ElementType, into destination: UnsafeMutableRawBufferPointer
  ) {
    precondition(elements.lowerBound >= 0)
    precondition(packed.count >= packedBytes(elements: elements.upperBound))
    precondition(absmax.count >= blocks(elements: elements.upperBound))
    precondition(destination.count == elements.count * element.size)
    guard let from = packed.baseAddress, let to = destination.baseAddress else { return }
    code.values.withUnsafeBufferPointer {
      ck_four_bit_decode(
        $0.baseAddress, from.assumingMemoryBound(to: UInt8.self), absmax.baseAddress, blockSize,
        elements.lowerBound, elements.count, element.kernelElement, to)
    }
  }
}
