import Adapters
import Kernels
import Safetensors

/// A weight on its way into 4 bits. Every part of the output is computed from the elements that it
/// needs, whenever it is asked for; nothing of the weight's size is held.
struct FourBitLayer: QuantizedLayer {
  let source: QuantizedSource
  let format: FourBitFormat
  let kind: QuantizationScheme.Kind
  /// The offset and the scales' own scales, from a first look at the weight; nil for scales in f32.
  let nested: ScannedScales?
  let losses = QuantizationLosses()

  var name: String { source.name }
  var shape: [Int] { source.shape }
  var element: ElementType { source.element }
  var storedBytes: Int {
    format.storedBytes(elements: elements, doubleQuantized: nested != nil)
  }

  var tensors: [PlannedTensor] {
    let blocks = format.blocks(elements: elements)
    let state = QuantState(
      type: kind.rawValue, blockSize: format.blockSize, element: element, shape: shape,
      nestedOffset: nested?.offset)
    let text = Array(state.text.utf8)
    func held(_ name: String, _ values: [Float]) -> PlannedTensor {
      PlannedTensor(
        name: name, dtype: .f32, shape: [values.count],
        source: HeldTensor(bytes: ElementType.f32.rounded(values)))
    }
    var tensors = [
      PlannedTensor(
        name: name, dtype: .u8, shape: [format.packedBytes(elements: elements), 1],
        source: PackedCodes(layer: self)),
      PlannedTensor(
        name: CompanionName.absmax.name(of: name), dtype: nested == nil ? .f32 : .u8,
        shape: [blocks],
        source: nested?.scales.map { HeldTensor(bytes: $0.codes) } ?? BlockScaleTensor(layer: self)),
      held(CompanionName.quantMap.name(of: name), format.code.values),
      PlannedTensor(
        name: CompanionName.state(of: name, type: kind.rawValue), dtype: .u8, shape: [text.count],
        source: HeldTensor(bytes: text)),
    ]
    if let nested {
      tensors.append(held(CompanionName.nestedAbsmax.name(of: name), nested.absmax))
      tensors.append(
        held(CompanionName.nestedQuantMap.name(of: name), NestedScales.defaultMap))
    }
    return tensors
  }

  // MARK: - Pieces

  /// Elements between the places where pieces may begin: whole blocks of scales, whole runs of losses.
  static func granularity(_ format: FourBitFormat) -> Int {
    max(format.blockSize * NestedScales.blockSize, FourBitTensor.run)
  }

  /// Elements that are worked on together, to stay near the caches.
  private static let pieceElements = 1 << 17

  /// Cuts `range`, widened to the granularity, into pieces.
  static func pieces(of range: Range<Int>, count: Int, format: FourBitFormat) -> [Range<Int>] {
    let granularity = granularity(format)
    let first = range.lowerBound / granularity * granularity
    let last = min(count, (range.upperBound + granularity - 1) / granularity * granularity)
    let size = max(pieceElements, granularity)
    return stride(from: first, to: last, by: size).map { $0..<min($0 + size, last) }
  }

  /// Elements and the scales of their blocks; the pointers are the workspace's.
  struct Piece {
    let elements: UnsafeRawBufferPointer
    let absmax: UnsafeMutableBufferPointer<Float>
  }

  /// Reads the elements `range`, and finds their scales.
  static func read(
    _ range: Range<Int>, of source: QuantizedSource, format: FourBitFormat, workspace: Workspace
  ) throws -> Piece {
    let elements = try source.elements.read(range, workspace: workspace)
    let blocks = format.blocks(elements: range.count)
    let absmax = workspace.floats(.scales, count: blocks)
    let element = source.elements.element
    format.findScales(of: elements, as: element, into: absmax)
    if absmax.contains(where: { !$0.isFinite }), let index = element.firstNonFinite(in: elements) {
      throw QuantizeError.notFinite(
        tensor: source.name, index: source.place(of: range.lowerBound + index))
    }
    return Piece(elements: elements, absmax: absmax)
  }

  /// The scales of the piece `range` as they will be read.
  private func restored(
    _ range: Range<Int>, _ absmax: UnsafeMutableBufferPointer<Float>, workspace: Workspace
  ) -> UnsafeBufferPointer<Float> {
    guard let nested else { return UnsafeBufferPointer(absmax) }
    let restored = workspace.floats(.restored, count: absmax.count)
    let first = range.lowerBound / format.blockSize
    if let scales = nested.scales {
      scales.restore(first..<first + absmax.count, into: restored)
    } else {
      NestedScales(quantizing: Array(absmax), offset: nested.offset)
        .restore(0..<absmax.count, into: restored)
    }
    return UnsafeBufferPointer(restored)
  }

  /// The codes in the packed bytes `range`, and what they lost.
  fileprivate func fill(
    _ output: UnsafeMutableRawBufferPointer, packed range: Range<Int>, workspace: Workspace
  ) throws {
    let wanted = range.lowerBound * 2..<min(range.upperBound * 2, elements)
    for part in Self.pieces(of: wanted, count: elements, format: format) {
      let piece = try Self.read(part, of: source, format: format, workspace: workspace)
      let restored = restored(part, piece.absmax, workspace: workspace)
      let first = part.lowerBound / 2
      let whole = first..<first + format.packedBytes(elements: part.count)
      let bytes = whole.clamped(to: range)
      let target = UnsafeMutableRawBufferPointer(
        rebasing: output[
          bytes.lowerBound - range.lowerBound..<bytes.upperBound - range.lowerBound])
      let packed = bytes == whole ? target : workspace.bytes(.codes, count: whole.count)
      let errors = format.encode(
        piece.elements, as: source.elements.element, absmax: UnsafeBufferPointer(piece.absmax),
        restored: restored, packed: packed)
      if bytes != whole {
        target.copyMemory(
          from: UnsafeRawBufferPointer(
            rebasing: packed[bytes.lowerBound - first..<bytes.upperBound - first]))
      }
      let run = FourBitTensor.run
      let kept = try source.keptChanges(
        part, stored: piece.elements, run: run, workspace: workspace
      ) {
        let decoded = workspace.floats(.decoded, count: part.count)
        format.decode(
          0..<part.count, packed: UnsafeRawBufferPointer(packed), absmax: restored, as: .f32,
          into: UnsafeMutableRawBufferPointer(decoded))
        return UnsafeBufferPointer(decoded)
      }
      losses.record(
        RunLoss.runs(from: part.lowerBound, of: run, errors: errors, kept: kept, own: wanted))
    }
  }

  /// The stored scales in the bytes `range`.
  fileprivate func fill(
    _ output: UnsafeMutableRawBufferPointer, scales range: Range<Int>, workspace: Workspace
  ) throws {
    let size = nested == nil ? 4 : 1
    let blocks = range.lowerBound / size..<(range.upperBound + size - 1) / size
    let wanted =
      blocks.lowerBound * format.blockSize..<min(blocks.upperBound * format.blockSize, elements)
    for part in Self.pieces(of: wanted, count: elements, format: format) {
      let piece = try Self.read(part, of: source, format: format, workspace: workspace)
      let first = part.lowerBound / format.blockSize * size
      let bytes = (first..<first + piece.absmax.count * size).clamped(to: range)
      let target = UnsafeMutableRawBufferPointer(
        rebasing: output[
          bytes.lowerBound - range.lowerBound..<bytes.upperBound - range.lowerBound])
      let stored = bytes.lowerBound - first..<bytes.upperBound - first
      if let nested {
        let scales = NestedScales(quantizing: Array(piece.absmax), offset: nested.offset)
        target.copyBytes(from: scales.codes[stored])
      } else {
        target.copyMemory(
          from: UnsafeRawBufferPointer(
            rebasing: UnsafeRawBufferPointer(piece.absmax)[stored]))
      }
    }
  }
}

/// The packed codes of a weight.
private struct PackedCodes: TensorSource {
  let layer: FourBitLayer

  func open(_ workspace: Workspace) throws { try layer.source.open(workspace) }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    try layer.fill(output, packed: range, workspace: workspace)
  }

  func close(checksum: UInt32) throws {
    layer.losses.finish()
    try layer.source.close()
  }
}

/// The scales of a weight's blocks: f32, or codes that were not kept from the first look.
private struct BlockScaleTensor: TensorSource {
  let layer: FourBitLayer

  func open(_ workspace: Workspace) throws { try layer.source.open(workspace) }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    try layer.fill(output, scales: range, workspace: workspace)
  }

  func close(checksum: UInt32) throws { try layer.source.close() }
}

extension QuantizedSource {
  /// Row and column of an element.
  func place(of index: Int) -> [Int] { [index / shape[1], index % shape[1]] }
}
