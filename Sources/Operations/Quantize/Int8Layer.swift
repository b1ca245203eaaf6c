import Adapters
import Kernels
import Safetensors

/// A weight on its way into 8 bits, a scale for each row.
struct Int8Layer: QuantizedLayer {
  let source: QuantizedSource
  let losses = QuantizationLosses()

  var name: String { source.name }
  var shape: [Int] { source.shape }
  var element: ElementType { source.element }
  var storedBytes: Int { elements + 4 * shape[0] }
  private var columns: Int { shape[1] }

  var tensors: [PlannedTensor] {
    [
      PlannedTensor(name: name, dtype: .i8, shape: shape, source: RowCodes(layer: self)),
      PlannedTensor(
        name: CompanionName.rowScales(of: name), dtype: .f32, shape: [shape[0]],
        source: RowScales(layer: self)),
      // Row-major, the only layout that is left.
      PlannedTensor(
        name: CompanionName.layout(of: name), dtype: .u8, shape: [], source: HeldTensor(bytes: [0])),
    ]
  }

  /// Elements that are worked on together.
  private static let pieceElements = 1 << 18

  /// Encodes `rows` in pieces.
  private func encode(
    _ rows: Range<Int>, workspace: Workspace,
    _ body: (
      _ rows: Range<Int>, _ elements: UnsafeRawBufferPointer, _ codes: UnsafeBufferPointer<Int8>,
      _ scales: UnsafeMutableBufferPointer<Float>
    ) throws -> Void
  ) throws {
    let height = max(1, Self.pieceElements / columns)
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
      let part = first..<min(first + height, rows.upperBound)
      let elements = try source.elements.read(
        part.lowerBound * columns..<part.upperBound * columns, workspace: workspace)
      let codes = workspace.bytes(.codes, count: part.count * columns).bindMemory(to: Int8.self)
      let scales = workspace.floats(.scales, count: part.count)
      let element = source.elements.element
      Int8Tensor.encode(elements, as: element, columns: columns, codes: codes, scales: scales)
      if let row = scales.firstIndex(where: { !$0.isFinite }) {
        throw QuantizeError.notFinite(
          tensor: name,
          index: [part.lowerBound + row, firstBeyondF16(elements, row: row, element)])
      }
      try body(part, elements, UnsafeBufferPointer(codes), scales)
    }
  }

  private func firstBeyondF16(
    _ elements: UnsafeRawBufferPointer, row: Int, _ element: ElementType
  ) -> Int {
    let bytes = elements[row * columns * element.size..<(row + 1) * columns * element.size]
    let halves = ElementType.f16.rounded(element.widened(Array(bytes)))
    return halves.withUnsafeBytes { ElementType.f16.firstNonFinite(in: $0) } ?? 0
  }

  /// The codes `range`, and what they lost.
  fileprivate func fill(
    _ output: UnsafeMutableRawBufferPointer, codes range: Range<Int>, workspace: Workspace
  ) throws {
    let rows = range.lowerBound / columns..<(range.upperBound + columns - 1) / columns
    try encode(rows, workspace: workspace) { part, stored, codes, scales in
      let elements = part.lowerBound * columns..<part.upperBound * columns
      let wanted = elements.clamped(to: range)
      let from = wanted.lowerBound - elements.lowerBound
      UnsafeMutableRawBufferPointer(
        rebasing: output[
          wanted.lowerBound - range.lowerBound..<wanted.upperBound - range.lowerBound]
      ).copyMemory(
        from: UnsafeRawBufferPointer(
          rebasing: UnsafeRawBufferPointer(codes)[from..<from + wanted.count]))
      let decoded = workspace.floats(.decoded, count: elements.count)
      let errors = (0..<part.count).map { row in
        let place = row * columns..<(row + 1) * columns
        let values = UnsafeMutableBufferPointer(rebasing: decoded[place])
        Int8Tensor.decode(
          UnsafeBufferPointer(rebasing: codes[place]), scale: scales[row], as: .f32,
          into: UnsafeMutableRawBufferPointer(values))
        let element = source.elements.element
        return ReconstructionError(
          of: UnsafeRawBufferPointer(
            rebasing: stored[place.lowerBound * element.size..<place.upperBound * element.size]),
          as: element, decoded: UnsafeBufferPointer(values))
      }
      let kept = try source.keptChanges(
        elements, stored: stored, run: columns, workspace: workspace
      ) { UnsafeBufferPointer(decoded) }
      losses.record(
        RunLoss.runs(
          from: elements.lowerBound, of: columns, errors: errors, kept: kept, own: range))
    }
  }

  /// The bytes `range` of the rows' scales.
  fileprivate func fill(
    _ output: UnsafeMutableRawBufferPointer, scales range: Range<Int>, workspace: Workspace
  ) throws {
    try encode(range.lowerBound / 4..<(range.upperBound + 3) / 4, workspace: workspace) {
      part, _, _, scales in
      let bytes = (part.lowerBound * 4..<part.upperBound * 4).clamped(to: range)
      let from = bytes.lowerBound - part.lowerBound * 4
      UnsafeMutableRawBufferPointer(
        rebasing: output[
          bytes.lowerBound - range.lowerBound..<bytes.upperBound - range.lowerBound]
      ).copyMemory(
        from: UnsafeRawBufferPointer(
          rebasing: UnsafeRawBufferPointer(scales)[from..<from + bytes.count]))
    }
  }
}

private struct RowCodes: TensorSource {
  let layer: Int8Layer

  func open(_ workspace: Workspace) throws { try layer.source.open(workspace) }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    try layer.fill(output, codes: range, workspace: workspace)
  }

  func close(checksum: UInt32) throws {
    layer.losses.finish()
    try layer.source.close()
  }
}

private struct RowScales: TensorSource {
  let layer: Int8Layer

  func open(_ workspace: Workspace) throws { try layer.source.open(workspace) }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    try layer.fill(output, scales: range, workspace: workspace)
  }

  func close(checksum: UInt32) throws { try layer.source.close() }
}
