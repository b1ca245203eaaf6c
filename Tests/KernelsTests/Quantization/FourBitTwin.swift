@testable import Kernels

/// 4-bit quantization as spec/nf4-checkpoint.md states it, one element at a time.
extension FourBitFormat {
  func twinEncode(_ values: [Float]) -> (packed: [UInt8], absmax: [Float]) {
    var codes: [UInt8] = []
    var absmax: [Float] = []
    for start in stride(from: 0, to: values.count, by: blockSize) {
      let block = values[start..<min(start + blockSize, values.count)]
      let largest =
        block.contains(where: \.isNaN) ? .nan : block.map(\.magnitude).max() ?? 0
      let scale = largest < 1e-38 ? 1e-38 : largest
      let full = block.count == blockSize
      absmax.append(full ? largest : scale)
      codes += block.map { twinCode(full ? $0 * (1 / scale) : $0 / scale) }
    }
    if codes.count % 2 == 1 { codes.append(twinCode(0)) }
    let packed = stride(from: 0, to: codes.count, by: 2).map { codes[$0] << 4 | codes[$0 + 1] }
    return (packed, absmax)
  }

  /// The code after as many steps up the ascending values as there are midpoints that are not ≥ `scaled`.
  private func twinCode(_ scaled: Float) -> UInt8 {
    let order = code.values.enumerated().sorted {
      ($0.element, $0.offset) < ($1.element, $1.offset)
    }
    var place = 0
    while place < 15 {
      let middle = (order[place].element + order[place + 1].element) / 2
      if scaled <= middle { break }
      place += 1
    }
    return UInt8(order[place].offset)
  }

  func twinDecode(_ elements: Range<Int>, packed: [UInt8], absmax: [Float]) -> [Float] {
    elements.map {
      let code = $0 % 2 == 0 ? packed[$0 / 2] >> 4 : packed[$0 / 2] & 15
      let value = self.code.values[Int(code)] * absmax[$0 / blockSize]
      return value.isNaN ? Float(bitPattern: 0x7FC0_0000) : value
    }
  }

  /// `encode` into arrays.
  func encoded(_ source: [UInt8], as element: ElementType) -> (packed: [UInt8], absmax: [Float]) {
    let count = source.count / element.size
    var packed = [UInt8](repeating: 0xEE, count: packedBytes(elements: count))
    var absmax = [Float](repeating: -1, count: blocks(elements: count))
    source.withUnsafeBytes { source in
      packed.withUnsafeMutableBytes { packed in
        absmax.withUnsafeMutableBufferPointer { absmax in
          encode(source, as: element, packed: packed, absmax: absmax)
        }
      }
    }
    return (packed, absmax)
  }

  /// `decode` into an array.
  func decoded(
    _ elements: Range<Int>, packed: [UInt8], absmax: [Float], as element: ElementType
  ) -> [UInt8] {
    var result = [UInt8](repeating: 0xEE, count: elements.count * element.size)
    result.withUnsafeMutableBytes { result in
      packed.withUnsafeBytes { packed in
        absmax.withUnsafeBufferPointer { absmax in
          decode(elements, packed: packed, absmax: absmax, as: element, into: result)
        }
      }
    }
    return result
  }
}

extension FourBitTensor {
  init(
    quantizing values: [Float], as element: ElementType = .f32, format: FourBitFormat,
    doubleQuantization: NestedRounding? = .bnbCPU
  ) throws {
    self = try element.rounded(values).withUnsafeBytes {
      try FourBitTensor(
        quantizing: $0, as: element, format: format, doubleQuantization: doubleQuantization)
    }
  }

  /// `decode` into an array.
  func decoded(_ range: Range<Int>, as element: ElementType) -> [UInt8] {
    var result = [UInt8](repeating: 0xEE, count: range.count * element.size)
    result.withUnsafeMutableBytes { decode(range, as: element, into: $0) }
    return result
  }
}

/// Bits, for comparisons in which a NaN equals itself and the zeros differ.
func bits(_ values: [Float]) -> [String] { values.map(\.hex) }
