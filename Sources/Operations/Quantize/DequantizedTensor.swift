import Adapters
import Kernels

/// A quantized weight as a tensor of the unpacked model.
struct DequantizedTensor: TensorSource {
  let weight: QuantizedWeight
  let element: ElementType

  /// The tensor, transposed where the unpacked model has it so.
  static func source(_ weight: QuantizedWeight, as element: ElementType) -> any TensorSource {
    let straight = DequantizedTensor(weight: weight, element: element)
    guard weight.storedTransposed else { return straight }
    return TransposedTensor(
      straight, element: element, rows: weight.shape[1], columns: weight.shape[0])
  }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    let size = element.size
    let elements = range.lowerBound / size..<(range.upperBound + size - 1) / size
    guard range.lowerBound % size == 0, range.upperBound % size == 0 else {
      let whole = workspace.bytes(.row, count: elements.count * size)
      try weight.decode(elements, as: element, into: whole)
      let skipped = range.lowerBound - elements.lowerBound * size
      output.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: whole[skipped..<skipped + range.count]))
      return
    }
    try weight.decode(elements, as: element, into: output)
  }
}
