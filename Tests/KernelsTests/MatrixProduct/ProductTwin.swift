import CKernels
import Foundation

@testable import Kernels

/// A product by its definition, one element at a time.
struct ProductTwin {
  var rows: Int
  var columns: Int
  var depth: Int
  /// A, rows × depth, and B, depth × columns.
  var a: [Float]
  var b: [Float]
  var scale: Float = 1
  var precision = MatrixPrecision.f32

  func result(start: (_ row: Int, _ column: Int) -> Float) -> [Float] {
    var c: [Float] = []
    for row in 0..<rows {
      for column in 0..<columns {
        var sum = start(row, column)
        func factors(_ k: Int) -> (Float, Float) {
          k < depth ? (scale * a[row * depth + k], b[k * columns + column]) : (0, 0)
        }
        switch precision {
        case .f32:
          for k in 0..<depth {
            let (x, y) = factors(k)
            sum = fmaf(x, y, sum)
          }
        case .bf16:
          for even in stride(from: 0, to: depth, by: 2) {
            for k in [even + 1, even] {
              let (x, y) = factors(k)
              sum = Self.flushed(fmaf(Self.rounded(x), Self.rounded(y), Self.flushed(sum)))
            }
          }
        }
        c.append(sum)
      }
    }
    return c
  }

  /// To bf16, to nearest even, subnormals to zero.
  static func rounded(_ x: Float) -> Float {
    guard x.isFinite else { return x }
    let bits = x.bitPattern
    return flushed(Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000))
  }

  static func flushed(_ x: Float) -> Float {
    x.isSubnormal ? (x.sign == .minus ? -0.0 : 0) : x
  }
}

/// A matrix in memory of its own, stored as it is or transposed, with a gap after each row.
struct TestMatrix {
  let buffer: ScalarBuffer<Float>
  let view: MatrixView<Float>

  init(_ values: [Float], rows: Int, columns: Int, transposed: Bool = false, gap: Int = 0) {
    let (height, width) = transposed ? (columns, rows) : (rows, columns)
    buffer = ScalarBuffer(count: height * (width + gap))
    let stored = MatrixView(
      buffer.matrix(rows: height, columns: width + gap).start, rows: height, columns: width,
      rowStride: width + gap)
    view = transposed ? stored.transposed : stored
    for row in 0..<rows {
      for column in 0..<columns { view[row, column] = values[row * columns + column] }
    }
  }

  var values: [Float] {
    (0..<view.rows).flatMap { row in (0..<view.columns).map { view[row, $0] } }
  }
}
