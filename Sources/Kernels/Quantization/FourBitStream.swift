/// Quantizes a tensor that comes in pieces of any length: bands of rows, blocks of a file. Holds less
/// than one block of elements, and the scales: 4 bytes for every block.
public struct FourBitStream: Sendable {
  public let format: FourBitFormat
  public let element: ElementType
  /// Elements received.
  public private(set) var elements = 0
  /// Scales of the blocks that are complete.
  public private(set) var absmax: [Float] = []
  /// Elements of a block that is not complete, as stored.
  private var begun: [UInt8] = []

  /// - Parameter expectedElements: memory for the scales of so many is taken at once.
  public init(format: FourBitFormat, element: ElementType, expectedElements: Int = 0) {
    (self.format, self.element) = (format, element)
    absmax.reserveCapacity(format.blocks(elements: expectedElements))
    begun.reserveCapacity(format.blockSize * element.size)
  }

  /// Takes the next elements, and appends the packed codes of the blocks that they complete.
  ///
  /// - Precondition: `source` holds whole elements.
  public mutating func append(_ source: UnsafeRawBufferPointer, packed: inout [UInt8]) {
    precondition(source.count % element.size == 0)
    elements += source.count / element.size
    let block = format.blockSize * element.size
    var rest = source[...]
    if !begun.isEmpty {
      let missing = rest.prefix(block - begun.count)
      begun.append(contentsOf: missing)
      rest = rest.dropFirst(missing.count)
      guard begun.count == block else { return }
      encodeBegun(packed: &packed)
      begun.removeAll(keepingCapacity: true)
    }
    let whole = rest.prefix(rest.count / block * block)
    format.append(
      UnsafeRawBufferPointer(rebasing: whole), as: element, packed: &packed, absmax: &absmax)
    begun.append(contentsOf: rest.dropFirst(whole.count))
  }

  /// The tensor ends: appends the packed codes of a short last block.
  ///
  /// - Returns: the scales of all blocks.
  public consuming func finish(packed: inout [UInt8]) -> [Float] {
    encodeBegun(packed: &packed)
    return absmax
  }

  private mutating func encodeBegun(packed: inout [UInt8]) {
    let (format, element) = (format, element)
    begun.withUnsafeBytes { format.append($0, as: element, packed: &packed, absmax: &absmax) }
  }
}

extension FourBitFormat {
  /// Quantizes elements and appends what comes out.
  fileprivate func append(
    _ source: UnsafeRawBufferPointer, as element: ElementType, packed: inout [UInt8],
    absmax: inout [Float]
  ) {
    let count = source.count / element.size
    let (codes, scales) = (packed.count, absmax.count)
    packed.append(contentsOf: repeatElement(0, count: packedBytes(elements: count)))
    absmax.append(contentsOf: repeatElement(0, count: blocks(elements: count)))
    packed.withUnsafeMutableBytes { packed in
      absmax.withUnsafeMutableBufferPointer { absmax in
        encode(
          source, as: element, packed: UnsafeMutableRawBufferPointer(rebasing: packed[codes...]),
          absmax: UnsafeMutableBufferPointer(rebasing: absmax[scales...]))
      }
    }
  }
}
