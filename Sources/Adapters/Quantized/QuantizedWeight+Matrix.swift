import Kernels
import Safetensors

extension QuantizedWeight {
  /// The weight with all its parts in memory, `out × in`.
  ///
  /// - Throws: `FileError`, or `QuantizationError` where a part has not the size that it should have.
  public func matrix() throws -> QuantizedMatrix {
    switch storage {
    case .fourBit(let format, _, let codes, let scales):
      let tensor = try FourBitTensor(
        format: format, elements: elements, packed: codes.read(0..<codes.bytes),
        scales: Self.blockScales(scales))
      return try QuantizedMatrix(tensor, rows: shape[0], columns: shape[1])
    case .int8(let codes, let scales):
      let signed = try codes.read(0..<codes.bytes).withUnsafeBytes {
        Array($0.bindMemory(to: Int8.self))
      }
      return QuantizedMatrix(
        try Int8Tensor(
          rows: shape[0], columns: shape[1], codes: signed,
          scales: ElementType.f32.widened(scales.read(0..<scales.bytes))))
    }
  }

  private static func blockScales(_ scales: Scales) throws -> BlockScales {
    switch scales {
    case .plain(let part):
      return .plain(ElementType.f32.widened(try part.read(0..<part.bytes)))
    case .nested(let codes, let absmax, let element, let offset, let map):
      return .nested(
        try NestedScales(
          codes: codes.read(0..<codes.bytes),
          absmax: element.widened(absmax.read(0..<absmax.bytes)), offset: offset, map: map))
    }
  }
}
