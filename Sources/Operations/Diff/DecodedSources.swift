import Kernels
import Safetensors

/// A 4-bit weight, decoded piece by piece; the codes stay in the file.
struct FourBitSource: TensorSource {
  let packed: CopiedTensor
  let format: FourBitFormat
  let scales: BlockScales
  let element: ElementType

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    let elements = range.lowerBound / element.size..<range.upperBound / element.size
    let firstBlock = elements.lowerBound / format.blockSize
    let start = firstBlock * format.blockSize
    let bytes = start / 2..<(elements.upperBound + 1) / 2
    let codes = workspace.bytes(.base, count: bytes.count)
    try packed.fill(codes, range: bytes, workspace: workspace)
    let blocks = firstBlock..<format.blocks(elements: elements.upperBound)
    let absmax = workspace.floats(.factors, count: blocks.count)
    switch scales {
    case .plain(let values): _ = absmax.update(from: values[blocks])
    case .nested(let nested): nested.restore(blocks, into: absmax)
    }
    format.decode(
      elements.lowerBound - start..<elements.upperBound - start,
      packed: UnsafeRawBufferPointer(codes), absmax: UnsafeBufferPointer(absmax), as: element,
      into: output)
  }
}

/// An int8 weight with one scale for each row, decoded piece by piece.
struct Int8Source: TensorSource {
  let codes: CopiedTensor
  let scales: [Float]
  let columns: Int
  let element: ElementType

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    let elements = range.lowerBound / element.size..<range.upperBound / element.size
    let stored = workspace.bytes(.base, count: elements.count)
    try codes.fill(stored, range: elements, workspace: workspace)
    let values = UnsafeRawBufferPointer(stored).assumingMemoryBound(to: Int8.self)
    var at = elements.lowerBound
    while at < elements.upperBound {
      let row = at / columns
      let end = min((row + 1) * columns, elements.upperBound)
      let place = at - elements.lowerBound..<end - elements.lowerBound
      Int8Tensor.decode(
        UnsafeBufferPointer(rebasing: values[place]), scale: scales[row], as: element,
        into: UnsafeMutableRawBufferPointer(
          rebasing: output[place.lowerBound * element.size..<place.upperBound * element.size]))
      at = end
    }
  }
}

/// A matrix turned round: what is quantized `out × in` and stored `in × out` otherwise. All of it is
/// held, in f32: the families that need it are small.
final class TransposedSource: TensorSource {
  private let source: any TensorSource
  private let element: ElementType
  private let rows: Int
  private let columns: Int
  /// Set before the first range is asked for.
  private nonisolated(unsafe) var bytes: [UInt8] = []

  /// - Parameters:
  ///   - rows: of `source`.
  ///   - columns: of `source`.
  init(_ source: any TensorSource, element: ElementType, rows: Int, columns: Int) {
    (self.source, self.element, self.rows, self.columns) = (source, element, rows, columns)
  }

  func open(_ workspace: Workspace) throws {
    try source.open(workspace)
    var stored = [UInt8](repeating: 0, count: rows * columns * element.size)
    try stored.withUnsafeMutableBytes {
      try source.fill($0, range: 0..<$0.count, workspace: workspace)
    }
    bytes = element.rounded(transpose(element.widened(stored), rows: rows, columns: columns))
  }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    bytes.withUnsafeBytes { output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  func close(checksum: UInt32) throws { bytes = [] }
}
