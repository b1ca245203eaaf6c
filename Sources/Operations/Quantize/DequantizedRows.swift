import Adapters
import Kernels
import Synchronization

/// Rows of a quantized weight in f32, as the unpacked model has them.
struct DequantizedRows: StoredRows {
  let weight: QuantizedWeight
  /// Where a weight that is unpacked `in × out` is held between reads.
  let cache: TransposedCache

  private var columns: Int { weight.unpackedShape[1] }
  var rowBytes: Int { columns * 4 }

  func read(
    _ rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer, workspace: Workspace
  ) throws {
    let elements = rows.lowerBound * columns..<rows.upperBound * columns
    let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(elements.count * 4)])
    guard weight.storedTransposed else {
      try weight.decode(elements, as: .f32, into: target)
      return
    }
    try cache.bytes(of: weight).withUnsafeBytes {
      target.copyMemory(
        from: UnsafeRawBufferPointer(
          rebasing: $0[elements.lowerBound * 4..<elements.upperBound * 4]))
    }
  }
}

/// The matrices last decoded and transposed, in f32. Only GPT-2's family has such weights; they are small.
final class TransposedCache: Sendable {
  private static let capacity = 2
  private let held = Mutex<[(name: String, bytes: [UInt8])]>([])

  func bytes(of weight: QuantizedWeight) throws -> [UInt8] {
    try held.withLock { held in
      if let found = held.first(where: { $0.name == weight.name }) { return found.bytes }
      var bytes = [UInt8](repeating: 0, count: weight.elements * 4)
      try bytes.withUnsafeMutableBytes {
        try weight.decode(0..<weight.elements, as: .f32, into: $0)
      }
      bytes = TransposedTensor.transposed(
        bytes, rows: weight.shape[0], columns: weight.shape[1], size: 4)
      held.append((weight.name, bytes))
      if held.count > Self.capacity { held.removeFirst() }
      return bytes
    }
  }
}

/// Stored rows as a tensor.
struct RowsTensor: TensorSource {
  let rows: any StoredRows

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    guard !range.isEmpty else { return }
    let size = rows.rowBytes
    let touched = range.lowerBound / size..<(range.upperBound + size - 1) / size
    let whole = workspace.bytes(.row, count: touched.count * size)
    try rows.read(touched, into: whole, workspace: workspace)
    let skipped = range.lowerBound - touched.lowerBound * size
    output.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: whole[skipped..<skipped + range.count]))
  }
}

extension QuantizedModel {
  /// Makes sure that `original` is the model that this one was made of, as far as that shows: all shapes,
  /// and the first elements of the first weight.
  func check(isMadeFrom original: BaseModel) throws {
    let path = original.checkpoint.path
    for weight in weights {
      guard let tensor = original.tensor(weight.name), tensor.shape == weight.unpackedShape,
        ElementType(tensor.dtype) != nil
      else {
        throw QuantizeError.otherWeights(path: path, tensor: weight.name, relativeError: nil)
      }
    }
    guard let weight = weights.first, let tensor = original.tensor(weight.name) else { return }
    let count = max(1, min(weight.unpackedShape[0], (1 << 16) / weight.unpackedShape[1]))
    let bytes = count * weight.unpackedShape[1] * 4
    let sources: [any TensorSource] = [
      original.source(of: tensor, as: .f32),
      RowsTensor(rows: DequantizedRows(weight: weight, cache: TransposedCache())),
    ]
    let values = try sources.map { source in
      var filled = [UInt8](repeating: 0, count: bytes)
      try filled.withUnsafeMutableBytes {
        try source.fill($0, range: 0..<bytes, workspace: Workspace())
      }
      return ElementType.f32.widened(filled)
    }
    let error = values[0].withUnsafeBytes { stored in
      values[1].withUnsafeBufferPointer {
        ReconstructionError(of: stored, as: .f32, decoded: $0)
      }
    }
    // Quantization loses a tenth at most; two models have nothing in common.
    guard error.relative < 0.5 else {
      throw QuantizeError.otherWeights(
        path: path, tensor: weight.name, relativeError: error.relative)
    }
  }
}
