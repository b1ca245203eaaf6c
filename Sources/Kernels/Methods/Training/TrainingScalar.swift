import Foundation

/// A scalar that methods are trained in: `Float` in the trainer, `Double` where gradients are checked.
///
/// The vector operations are requirements so that generic code calls the version compiled for the
/// scalar. Each has one fixed order of operations.
public protocol TrainingScalar: BinaryFloatingPoint, SIMDScalar, Codable, Sendable {
  /// eˣ.
  static func exponential(_ x: Self) -> Self
  /// tanh x.
  static func hyperbolicTangent(_ x: Self) -> Self
  /// The error function.
  static func errorFunction(_ x: Self) -> Self

  /// Σ x.
  static func sum(_ x: Row<Self>) -> Self
  /// Σ x∘y.
  static func dot(_ x: Row<Self>, _ y: Row<Self>) -> Self
  /// `y = value`.
  static func fill(_ y: Row<Self>, with value: Self)
  /// `y += factor · x`.
  static func add(_ x: Row<Self>, times factor: Self, to y: Row<Self>)
  /// `y += x∘z`.
  static func add(_ x: Row<Self>, times z: Row<Self>, to y: Row<Self>)
  /// `y += constant`.
  static func add(_ constant: Self, to y: Row<Self>)
  /// `y = y∘x`.
  static func multiply(_ y: Row<Self>, by x: Row<Self>)
  /// `y = factor · y`.
  static func multiply(_ y: Row<Self>, by factor: Self)
  /// Rotates the pairs (j, j + half) of every block of `2·half` numbers: `x·cos − y·sin` and
  /// `y·cos + x·sin`. The tables hold `half` numbers per block.
  static func rotate(_ values: Row<Self>, half: Int, cosines: Row<Self>, sines: Row<Self>)
  /// `y = f(y)`.
  static func apply(_ function: Activation, to y: Row<Self>)
  /// `y = y∘f′(z)`.
  static func multiply(_ y: Row<Self>, byDerivativeOf function: Activation, at z: Row<Self>)
  /// The softmax of `y`, in place.
  static func softmax(_ y: Row<Self>)
  /// `y += mask∘x / (1 − p)`, the first element being number `start` of the mask.
  static func add(_ x: Row<Self>, keptBy mask: DropoutMask, from start: Int, to y: Row<Self>)
  /// `y[k] = start[k · step]`.
  static func gather(_ start: UnsafeMutablePointer<Self>, step: Int, into y: Row<Self>)
  /// `y[k] = x[indices[k]]`.
  static func gather(_ x: Row<Self>, at indices: [Int], into y: Row<Self>)
  /// `y[indices[k]] += factor · x[k]`.
  static func scatter(_ x: Row<Self>, times factor: Self, to y: Row<Self>, at indices: [Int])
}

/// A row of a matrix, or a vector.
public typealias Row<Scalar> = UnsafeMutableBufferPointer<Scalar>

extension UnsafeMutableBufferPointer {
  /// The elements of `columns`.
  func part(_ columns: Range<Int>) -> Self { Self(rebasing: self[columns]) }
}

extension TrainingScalar {
  @inlinable
  public static func sum(_ x: Row<Self>) -> Self {
    var lanes = SIMD8<Self>.zero
    let whole = x.count & ~7
    for start in stride(from: 0, to: whole, by: 8) {
      lanes += load(x, start)
    }
    var total = lanes.sum()
    for index in whole..<x.count { total += x[index] }
    return total
  }

  @inlinable
  public static func dot(_ x: Row<Self>, _ y: Row<Self>) -> Self {
    precondition(x.count == y.count)
    var lanes = SIMD8<Self>.zero
    let whole = x.count & ~7
    for start in stride(from: 0, to: whole, by: 8) {
      lanes += load(x, start) * load(y, start)
    }
    var total = lanes.sum()
    for index in whole..<x.count { total += x[index] * y[index] }
    return total
  }

  @inlinable
  public static func fill(_ y: Row<Self>, with value: Self) {
    for index in 0..<y.count { y[index] = value }
  }

  @inlinable
  public static func add(_ x: Row<Self>, times factor: Self, to y: Row<Self>) {
    precondition(x.count == y.count)
    for index in 0..<x.count { y[index] += factor * x[index] }
  }

  @inlinable
  public static func add(_ x: Row<Self>, times z: Row<Self>, to y: Row<Self>) {
    precondition(x.count == y.count && z.count == y.count)
    for index in 0..<x.count { y[index] += x[index] * z[index] }
  }

  @inlinable
  public static func add(_ constant: Self, to y: Row<Self>) {
    for index in 0..<y.count { y[index] += constant }
  }

  @inlinable
  public static func multiply(_ y: Row<Self>, by x: Row<Self>) {
    precondition(x.count == y.count)
    for index in 0..<y.count { y[index] *= x[index] }
  }

  @inlinable
  public static func multiply(_ y: Row<Self>, by factor: Self) {
    for index in 0..<y.count { y[index] *= factor }
  }

  @inlinable
  public static func apply(_ function: Activation, to y: Row<Self>) {
    for index in 0..<y.count { y[index] = function.value(y[index]) }
  }

  @inlinable
  public static func multiply(
    _ y: Row<Self>, byDerivativeOf function: Activation, at z: Row<Self>
  ) {
    precondition(y.count == z.count)
    for index in 0..<y.count { y[index] *= function.derivative(z[index]) }
  }

  @inlinable
  public static func softmax(_ y: Row<Self>) {
    guard let largest = y.max() else { return }
    for index in 0..<y.count { y[index] = exponential(y[index] - largest) }
    multiply(y, by: 1 / sum(y))
  }

  @inlinable
  public static func rotate(
    _ values: Row<Self>, half: Int, cosines: Row<Self>, sines: Row<Self>
  ) {
    precondition(cosines.count * 2 == values.count && sines.count == cosines.count)
    for start in stride(from: 0, to: cosines.count, by: max(half, 1)) {
      for index in start..<start + half {
        let (x, y) = (values[start + index], values[start + index + half])
        values[start + index] = x * cosines[index] - y * sines[index]
        values[start + index + half] = y * cosines[index] + x * sines[index]
      }
    }
  }

  @inlinable
  public static func add(
    _ x: Row<Self>, keptBy mask: DropoutMask, from start: Int, to y: Row<Self>
  ) {
    precondition(x.count == y.count)
    let scale = Self(mask.scale)
    func element(_ index: Int, _ bits: UInt64) {
      let factor: Self = mask.keeps(bits) ? scale : 0
      y[index] += factor * x[index]
    }
    var index = 0
    // Up to the first element that begins a draw, and after the last whole one: one by one.
    while index < x.count, (start &+ index) & 3 != 0 {
      element(index, mask.bits(of: start &+ index))
      index &+= 1
    }
    while index &+ 4 <= x.count {
      let bits = mask.bits(of: start &+ index)
      element(index, bits)
      element(index &+ 1, bits >> 16)
      element(index &+ 2, bits >> 32)
      element(index &+ 3, bits >> 48)
      index &+= 4
    }
    while index < x.count {
      element(index, mask.bits(of: start &+ index))
      index &+= 1
    }
  }

  @inlinable
  public static func gather(
    _ start: UnsafeMutablePointer<Self>, step: Int, into y: Row<Self>
  ) {
    for index in 0..<y.count { y[index] = start[index * step] }
  }

  @inlinable
  public static func gather(_ x: Row<Self>, at indices: [Int], into y: Row<Self>) {
    precondition(indices.count == y.count)
    for (position, index) in indices.enumerated() { y[position] = x[index] }
  }

  @inlinable
  public static func scatter(
    _ x: Row<Self>, times factor: Self, to y: Row<Self>, at indices: [Int]
  ) {
    precondition(indices.count == x.count)
    for (position, index) in indices.enumerated() { y[index] += factor * x[position] }
  }

  @inlinable @inline(__always)
  static func load(_ x: Row<Self>, _ start: Int) -> SIMD8<Self> {
    SIMD8(
      x[start], x[start + 1], x[start + 2], x[start + 3], x[start + 4], x[start + 5], x[start + 6],
      x[start + 7])
  }
}

extension Float: TrainingScalar {
  public static func exponential(_ x: Float) -> Float { exp(x) }
  public static func hyperbolicTangent(_ x: Float) -> Float { tanh(x) }
  public static func errorFunction(_ x: Float) -> Float { erf(x) }
}

extension Double: TrainingScalar {
  public static func exponential(_ x: Double) -> Double { exp(x) }
  public static func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }
  public static func errorFunction(_ x: Double) -> Double { erf(x) }
}
