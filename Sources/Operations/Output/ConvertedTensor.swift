import Kernels

/// A tensor in another element type: widened and rounded once.
struct ConvertedTensor: TensorSource {
  let rows: FileRows
  let from: ElementType
  let to: ElementType
  let shape: [Int]

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    let elements = range.lowerBound / to.size..<(range.upperBound + to.size - 1) / to.size
    let stored = workspace.bytes(.base, count: elements.count * from.size)
    try rows.file.read(into: stored, at: rows.offset + elements.lowerBound * from.size)
    let values = workspace.floats(.widened, count: elements.count)
    from.widen(from: UnsafeRawBufferPointer(stored), to: values)
    let converted = workspace.bytes(.row, count: elements.count * to.size)
    to.round(from: UnsafeBufferPointer(values), to: converted)
    let skipped = range.lowerBound - elements.lowerBound * to.size
    output.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: converted[skipped..<skipped + range.count]))
  }
}
