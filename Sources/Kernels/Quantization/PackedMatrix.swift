import CKernels

/// A quantized weight in memory of its own, for products to decode a tile at a time. Every element is
/// the one that `QuantizedMatrix.decode` gives in f32.
public final class PackedMatrix: @unchecked Sendable {
  public let rows: Int
  public let columns: Int
  /// Bytes of codes and scales.
  public let storedBytes: Int
  let decoder: ck_row_decoder
  /// What `decoder` reads: a description of the matrix in C.
  let description: UnsafeRawPointer
  /// Everything that was allocated.
  private let memory: [UnsafeMutableRawPointer]

  public init(_ matrix: QuantizedMatrix) {
    (rows, columns) = (matrix.rows, matrix.columns)
    var arena = Arena()
    switch matrix.storage {
    case .fourBit(let tensor):
      var packed = ck_four_bit_matrix()
      packed.packed = arena.copy(tensor.packed)
      packed.block = tensor.format.blockSize
      packed.columns = matrix.columns
      switch tensor.scales {
      case .plain(let scales): packed.absmax = arena.copy(scales)
      case .nested(let scales):
        packed.nested_codes = arena.copy(scales.codes)
        packed.nested_absmax = arena.copy(scales.absmax)
        packed.nested_offset = scales.offset
      }
      storedBytes = arena.bytes
      if case .nested(let scales) = tensor.scales { packed.nested_map = arena.copy(scales.map) }
      packed.values = arena.copy(tensor.format.code.values)
      description = UnsafeRawPointer(arena.copy([packed]))
      decoder = ck_four_bit_decode_row
    case .int8(let tensor):
      var packed = ck_int8_matrix()
      packed.codes = arena.copy(tensor.codes)
      packed.scales = arena.copy(tensor.scales)
      packed.columns = matrix.columns
      storedBytes = arena.bytes
      description = UnsafeRawPointer(arena.copy([packed]))
      decoder = ck_int8_decode_row
    }
    memory = arena.memory
  }

  deinit {
    for start in memory { start.deallocate() }
  }

  /// Decodes a part of a row in f32. Several threads may do so at once.
  public func decode(row: Int, columns: Range<Int>, into destination: UnsafeMutablePointer<Float>) {
    precondition(row >= 0 && row < rows && columns.lowerBound >= 0)
    precondition(columns.upperBound <= self.columns)
    decoder(description, row, columns.lowerBound, columns.count, destination)
  }

  /// Arrays copied to addresses that stay.
  private struct Arena {
    var memory: [UnsafeMutableRawPointer] = []
    var bytes = 0

    mutating func copy<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafePointer<Element> {
      let size = elements.count * MemoryLayout<Element>.stride
      let start = UnsafeMutableRawPointer.allocate(byteCount: max(size, 64), alignment: 64)
      elements.withUnsafeBytes {
        if let from = $0.baseAddress { start.copyMemory(from: from, byteCount: size) }
      }
      memory.append(start)
      bytes += size
      return UnsafePointer(start.assumingMemoryBound(to: Element.self))
    }
  }
}
