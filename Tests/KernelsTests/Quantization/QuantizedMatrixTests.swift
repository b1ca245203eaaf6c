import CKernels
import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct QuantizedProducts {
    /// Rows and columns that fill tiles, and that do not.
    static let shapes = [(1, 1), (5, 33), (70, 48), (64, 512), (3, 1100), (130, 17)]

    private func matrices(_ rows: Int, _ columns: Int) throws -> [QuantizedMatrix] {
      var random = SplitMix64(seed: UInt64(rows * 10000 + columns))
      let values = random.floats(rows * columns, 1)
      let nested = try FourBitTensor(quantizing: values, format: FourBitFormat())
      let plain = try FourBitTensor(
        quantizing: values, format: FourBitFormat(code: .fp4, blockSize: 32),
        doubleQuantization: nil)
      let int8 = try ElementType.f32.rounded(values).withUnsafeBytes {
        try Int8Tensor(quantizing: $0, as: .f32, rows: rows, columns: columns)
      }
      return try [
        QuantizedMatrix(nested, rows: rows, columns: columns),
        QuantizedMatrix(plain, rows: rows, columns: columns), QuantizedMatrix(int8),
      ]
    }

    private func whole(_ matrix: QuantizedMatrix) -> [Float] {
      var values = [Float](repeating: .nan, count: matrix.rows * matrix.columns)
      values.withUnsafeMutableBufferPointer { matrix.decodeRows(0..<matrix.rows, into: $0) }
      return values
    }

    @Test func partsAreCutFromTheWhole() throws {
      var random = SplitMix64(seed: 31)
      for (rows, columns) in Self.shapes {
        for matrix in try matrices(rows, columns) {
          let whole = whole(matrix)
          for _ in 0..<5 {
            let top = Int.random(in: 0...rows, using: &random)
            let left = Int.random(in: 0...columns, using: &random)
            let (r, c) = (
              top..<Int.random(in: top...rows, using: &random),
              left..<Int.random(in: left...columns, using: &random)
            )
            var part = [Float](repeating: .nan, count: r.count * c.count)
            part.withUnsafeMutableBufferPointer { matrix.decode(rows: r, columns: c, into: $0) }
            #expect(part == r.flatMap { row in c.map { whole[row * columns + $0] } }, "\(r) \(c)")
          }
        }
      }
    }

    @Test(arguments: [0, 1, 9]) func productsAreChainsOfFusedMultiplyAdds(tokens: Int) throws {
      var random = SplitMix64(seed: 32)
      for (rows, columns) in Self.shapes {
        let x = random.floats(tokens * columns, 1)
        let g = random.floats(tokens * rows, 1)
        for matrix in try matrices(rows, columns) {
          let w = whole(matrix)
          var y: [Float] = []
          var d: [Float] = []
          for t in 0..<tokens {
            for r in 0..<rows {
              y.append(
                (0..<columns).reduce(0) { Float.fma($0, x[t * columns + $1], w[r * columns + $1]) })
            }
            for c in 0..<columns {
              d.append(
                (0..<rows).reduce(0) { Float.fma($0, g[t * rows + $1], w[$1 * columns + c]) })
            }
          }
          KernelPaths.each { path in
            #expect(product(matrix, x, tokens) == y, "\(rows)×\(columns) \(path)")
            #expect(transposedProduct(matrix, g, tokens) == d, "\(rows)×\(columns) \(path)")
          }
          // Divided among threads.
          let (row, column) = (rows / 3, columns / 3)
          #expect(product(matrix, x, tokens, [0..<row, row..<rows]) == y)
          #expect(transposedProduct(matrix, g, tokens, [column..<columns, 0..<column]) == d)
        }
      }
    }

    private func product(
      _ matrix: QuantizedMatrix, _ x: [Float], _ tokens: Int, _ ranges: [Range<Int>?] = [nil]
    ) -> [Float] {
      var y = [Float](repeating: .nan, count: tokens * matrix.rows)
      x.withUnsafeBufferPointer { x in
        y.withUnsafeMutableBufferPointer { y in
          for range in ranges { matrix.multiply(x, tokens: tokens, rows: range, into: y) }
        }
      }
      return y
    }

    private func transposedProduct(
      _ matrix: QuantizedMatrix, _ g: [Float], _ tokens: Int, _ ranges: [Range<Int>?] = [nil]
    ) -> [Float] {
      var d = [Float](repeating: .nan, count: tokens * matrix.columns)
      g.withUnsafeBufferPointer { g in
        d.withUnsafeMutableBufferPointer { d in
          for range in ranges {
            matrix.multiplyTransposed(g, tokens: tokens, columns: range, into: d)
          }
        }
      }
      return d
    }

    @Test func aTensorOfAnotherSizeIsRefused() throws {
      let tensor = try FourBitTensor(quantizing: [1, 2, 3], format: FourBitFormat())
      #expect(throws: QuantizationError.size(part: .codes, found: 3, expected: 4)) {
        try QuantizedMatrix(tensor, rows: 2, columns: 2)
      }
    }
  }
}

extension Float {
  fileprivate static func fma(_ sum: Float, _ a: Float, _ b: Float) -> Float {
    sum.addingProduct(a, b)
  }
}
