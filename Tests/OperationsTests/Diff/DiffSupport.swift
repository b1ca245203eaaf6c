import Foundation
import Kernels
import Safetensors

@testable import Operations

/// Compares two paths; `change` edits the request.
func diff(
  _ a: String, _ b: String, _ change: (inout DiffRequest) -> Void = { _ in }
) throws -> DiffReport {
  var request = DiffRequest(a: DiffOperand(path: a), b: DiffOperand(path: b), threads: 2)
  change(&request)
  return try DiffOperation(request).run()
}

extension DiffReport {
  /// The numbers of a tensor that was compared, equal or not.
  func numbers(_ tensor: String) -> TensorNumbers? {
    tensors.numbers.first { $0.tensor == tensor }?.numbers
  }
}

/// Numbers that are the same in every run.
struct Numbers {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// In −1 ..< 1.
  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / 0x1p31
  }

  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

extension StoredTensor {
  static func stored(_ element: ElementType, _ shape: [Int], _ values: [Float]) -> StoredTensor {
    StoredTensor(dtype: element.dtype, shape: shape, bytes: element.rounded(values))
  }

  /// Integers of any type, little-endian.
  static func integers<Word: FixedWidthInteger>(
    _ dtype: DType, _ shape: [Int], _ values: [Word]
  ) -> StoredTensor {
    StoredTensor(
      dtype: dtype, shape: shape,
      bytes: values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } })
  }

  static func f64(_ shape: [Int], _ values: [Double]) -> StoredTensor {
    integers(.f64, shape, values.map(\.bitPattern))
  }
}

/// The slow way to everything that is said of two tensors of finite numbers, after the definitions.
struct NumbersTwin {
  var maximum = 0.0
  var mean = 0.0
  var relative = 0.0
  var cosine = 0.0
  var magnitude = 0.0
  var direction = 0.0

  /// - Parameter columns: of a row; the rows are output features.
  init(_ a: [Double], _ b: [Double], columns: Int) {
    func dot(_ x: some Sequence<Double>, _ y: some Sequence<Double>) -> Double {
      zip(x, y).reduce(0) { $0 + $1.0 * $1.1 }
    }
    func norm(_ x: some Sequence<Double>) -> Double { dot(x, x).squareRoot() }
    let difference = zip(a, b).map { $0 - $1 }
    maximum = difference.map(\.magnitude).max() ?? 0
    mean = difference.map(\.magnitude).reduce(0, +) / Double(a.count)
    relative = norm(difference) / norm(a)
    cosine = dot(a, b) / norm(a) / norm(b)
    let rows = a.count / columns
    for row in 0..<rows {
      let x = a[row * columns..<(row + 1) * columns]
      let y = b[row * columns..<(row + 1) * columns]
      magnitude += abs(norm(y) - norm(x)) / Double(rows)
      direction += (1 - dot(x, y) / norm(x) / norm(y)) / Double(rows)
    }
  }

  /// Whether `numbers` say the same, up to rounding in f64.
  func agrees(with numbers: TensorNumbers) -> Bool {
    func near(_ x: Double?, _ y: Double) -> Bool {
      x.map { abs($0 - y) <= 1e-10 * max(1e-3, abs(y)) } ?? false
    }
    return numbers.maximum == maximum && near(numbers.mean, mean)
      && near(numbers.relativeNorm, relative) && near(numbers.cosine, cosine)
      && near(numbers.magnitudeChange, magnitude) && near(numbers.directionChange, direction)
  }
}
