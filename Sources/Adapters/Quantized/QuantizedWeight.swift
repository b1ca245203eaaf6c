import Kernels
import Safetensors

/// A quantized weight of a checkpoint: where its parts are. It is decoded from the files, whatever part
/// of it is asked for; only tables and one offset are held.
public struct QuantizedWeight: Sendable {
  /// The bytes of one tensor.
  public struct Part: Sendable {
    public let file: InputFile
    public let offset: Int
    public let bytes: Int

    /// The bytes `range` of the tensor.
    public func read(_ range: Range<Int>) throws -> [UInt8] {
      try file.read(count: range.count, at: offset + range.lowerBound)
    }
  }

  /// The scales of 4-bit blocks.
  public enum Scales: Sendable {
    case plain(Part)
    /// `absmax` is stored as `element`.
    case nested(codes: Part, absmax: Part, element: ElementType, offset: Float, map: [Float])
  }

  public enum Storage: Sendable {
    case fourBit(FourBitFormat, type: String, codes: Part, scales: Scales)
    case int8(codes: Part, scales: Part)
  }

  public let name: String
  /// Output features, input features.
  public let shape: [Int]
  /// The type that it is decoded to unless another is wanted.
  public let element: ElementType
  /// The unpacked model stores the weight `in × out` (`Conv1D`).
  public let storedTransposed: Bool
  public let storage: Storage
  /// The tensors that belong to it, itself included.
  public let tensors: [String]

  public var elements: Int { shape[0] * shape[1] }
  /// The shape that the weight has in the unpacked model.
  public var unpackedShape: [Int] { storedTransposed ? shape.reversed() : shape }

  /// Decodes the elements `range` of the `out × in` matrix, row-major, rounded once to `element`.
  ///
  /// - Parameter output: receives them.
  public func decode(
    _ range: Range<Int>, as element: ElementType, into output: UnsafeMutableRawBufferPointer
  ) throws {
    let step = 1 << 20
    for start in stride(from: range.lowerBound, to: range.upperBound, by: step) {
      let piece = start..<min(start + step, range.upperBound)
      let target = UnsafeMutableRawBufferPointer(
        rebasing: output[
          (piece.lowerBound - range.lowerBound)
            * element.size..<(piece.upperBound - range.lowerBound) * element.size])
      switch storage {
      case .fourBit(let format, _, let codes, let scales):
        try Self.decode(piece, of: elements, format, codes, scales, as: element, into: target)
      case .int8(let codes, let scales):
        try decodeRows(piece, codes, scales, as: element, into: target)
      }
    }
  }

  private static func decode(
    _ range: Range<Int>, of count: Int, _ format: FourBitFormat, _ codes: Part, _ scales: Scales,
    as element: ElementType, into output: UnsafeMutableRawBufferPointer
  ) throws {
    // Scales are restored in whole groups: a group's own scale is one value.
    let group = format.blockSize * NestedScales.blockSize
    let first = range.lowerBound / group * group
    let last = min(count, (range.upperBound + group - 1) / group * group)
    let blocks = first / format.blockSize..<format.blocks(elements: last)
    let absmax = try restored(blocks, scales)
    let packed = try codes.read(first / 2..<format.packedBytes(elements: last))
    packed.withUnsafeBytes { packed in
      absmax.withUnsafeBufferPointer { absmax in
        format.decode(
          range.lowerBound - first..<range.upperBound - first, packed: packed, absmax: absmax,
          as: element, into: output)
      }
    }
  }

  /// The scales of `blocks`, which begin a group, in f32.
  private static func restored(_ blocks: Range<Int>, _ scales: Scales) throws -> [Float] {
    switch scales {
    case .plain(let part):
      return ElementType.f32.widened(
        try part.read(blocks.lowerBound * 4..<blocks.upperBound * 4))
    case .nested(let codes, let absmax, let element, let offset, let map):
      let groups =
        blocks.lowerBound / NestedScales.blockSize..<NestedScales.blocks(scales: blocks.upperBound)
      let nested = try NestedScales(
        codes: codes.read(blocks),
        absmax: element.widened(
          absmax.read(groups.lowerBound * element.size..<groups.upperBound * element.size)),
        offset: offset, map: map)
      return [Float](unsafeUninitializedCapacity: blocks.count) { values, count in
        count = blocks.count
        nested.restore(
          0..<count, into: UnsafeMutableBufferPointer(rebasing: values[..<count]))
      }
    }
  }

  private func decodeRows(
    _ range: Range<Int>, _ codes: Part, _ scales: Part, as element: ElementType,
    into output: UnsafeMutableRawBufferPointer
  ) throws {
    let columns = shape[1]
    let rows = range.lowerBound / columns..<(range.upperBound + columns - 1) / columns
    let values = ElementType.f32.widened(
      try scales.read(rows.lowerBound * 4..<rows.upperBound * 4))
    try codes.read(range).withUnsafeBytes { bytes in
      let codes = bytes.bindMemory(to: Int8.self)
      for (row, scale) in zip(rows, values) {
        let part = (row * columns..<(row + 1) * columns).clamped(to: range)
        let at = part.lowerBound - range.lowerBound
        Int8Tensor.decode(
          UnsafeBufferPointer(rebasing: codes[at..<at + part.count]), scale: scale, as: element,
          into: UnsafeMutableRawBufferPointer(
            rebasing: output[at * element.size..<(at + part.count) * element.size]))
      }
    }
  }
}
