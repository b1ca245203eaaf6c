import CKernels
import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Int8Coding {
    private func quantized(_ bytes: [UInt8], _ element: ElementType, _ rows: Int) throws
      -> Int8Tensor
    {
      try bytes.withUnsafeBytes {
        try Int8Tensor(
          quantizing: $0, as: element, rows: rows,
          columns: bytes.count / element.size / max(rows, 1))
      }
    }

    private func decoded(_ tensor: Int8Tensor, as element: ElementType) -> [UInt8] {
      (0..<tensor.rows).flatMap { row in
        var out = [UInt8](repeating: 0xEE, count: tensor.columns * element.size)
        out.withUnsafeMutableBytes { out in
          tensor.codes.withUnsafeBufferPointer { codes in
            let part = codes[row * tensor.columns..<(row + 1) * tensor.columns]
            Int8Tensor.decode(
              UnsafeBufferPointer(rebasing: part), scale: tensor.scales[row], as: element, into: out
            )
          }
        }
        return out
      }
    }

    @Test func codesAndScalesAreThoseOfBitsandbytes() throws {
      let fixture = QuantizationFixture.int8
      for element in ElementType.allCases {
        let name = element.rawValue
        let input = try fixture.bytes("\(name).input")
        let codes = try fixture.bytes("\(name).codes").map(Int8.init(bitPattern:))
        let scales = try fixture.floats("\(name).scales")
        let values = try fixture.bytes("\(name).decoded")
        try KernelPaths.each { path in
          let tensor = try quantized(input, element, 6)
          #expect(tensor.codes == codes, "\(name) \(path)")
          #expect(bits(tensor.scales) == bits(scales), "\(name) \(path)")
          #expect(decoded(tensor, as: .f32) == values, "\(name) \(path)")
          #expect(
            decoded(tensor, as: .bf16) == ElementType.bf16.rounded(ElementType.f32.widened(values)))
        }
      }
    }

    @Test func againstOneElementAtATime() throws {
      var random = SplitMix64(seed: 21)
      for columns in [1, 7, 64, 600, 1025] {
        var values = random.floats(columns * 4, 1)
        // Halfway between two integers, with the scale 127 that leaves elements as they are.
        for column in 0..<columns { values[column] = Float(column % 127) + 0.5 }
        values[0] = 127
        for column in 0..<columns { values[2 * columns + column] = 0 }
        let halves = ElementType.f16.widened(ElementType.f16.rounded(values))
        let rows = (0..<4).map { Array(halves[($0 * columns)..<(($0 + 1) * columns)]) }
        let scales = rows.map { $0.map(\.magnitude).max() ?? 0 }
        let codes = zip(rows, scales).flatMap { row, scale -> [Int8] in
          let factor: Float = scale == 0 ? 0 : 1 / scale * 127
          return row.map { Int8(($0 * factor).rounded(.toNearestOrEven)) }
        }
        try KernelPaths.each { path in
          let tensor = try quantized(ElementType.f32.rounded(values), .f32, 4)
          #expect(tensor.codes == codes, "\(columns) \(path)")
          #expect(tensor.scales == scales, "\(columns) \(path)")
          #expect(tensor.scales[2] == 0)
        }
      }
    }

    @Test func elementsBeyondF16AreRefused() throws {
      for (element, value) in [(ElementType.f32, Float(65520)), (.bf16, 1e5), (.f16, .nan)] {
        var values = [Float](repeating: 1, count: 12)
        values[7] = value
        try KernelPaths.each { _ in
          #expect(throws: QuantizationError.notFinite(index: 7)) {
            try quantized(element.rounded(values), element, 3)
          }
        }
      }
    }

    @Test func emptyMatrices() throws {
      #expect(try quantized([], .f32, 0).codes.isEmpty)
      #expect(try quantized([], .bf16, 3).scales == [0, 0, 0])
      #expect(throws: QuantizationError.size(part: .scales, found: 1, expected: 2)) {
        try Int8Tensor(rows: 2, columns: 1, codes: [1, 2], scales: [1])
      }
    }
  }
}
