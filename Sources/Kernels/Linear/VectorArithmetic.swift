import CKernels

/// Sums and updates of f32 vectors, the same bits on every path.
///
/// A sum is taken in f64: products of two f32 are exact there. They are added in 32 lanes, an element
/// in the lane of its index modulo 32, from the first to the last; then the upper half of the lanes is
/// added to the lower half until one is left. The error is at most (count/32 + 5)·2⁻⁵³ times the sum of
/// the absolute values of the products.
public enum VectorArithmetic {
  /// Σ xᵢ·yᵢ.
  public static func dot(
    _ x: UnsafeBufferPointer<Float>, _ y: UnsafeBufferPointer<Float>
  ) -> Double {
    precondition(x.count == y.count)
    guard let xStart = x.baseAddress, let yStart = y.baseAddress else { return 0 }
    return ck_dot(xStart, yStart, x.count)
  }

  /// Σ xᵢ².
  public static func sumOfSquares(_ x: UnsafeBufferPointer<Float>) -> Double { dot(x, x) }

  /// ‖x‖₂: the sum of squares and its root in f64, rounded once to f32. Nothing overflows on the way.
  public static func norm(_ x: UnsafeBufferPointer<Float>) -> Float {
    Float(sumOfSquares(x).squareRoot())
  }

  /// `y = fma(factor, x, y)`, element by element.
  public static func add(
    _ x: UnsafeBufferPointer<Float>, times factor: Float, to y: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(x.count == y.count)
    guard let xStart = x.baseAddress, let yStart = y.baseAddress else { return }
    ck_axpy(factor, xStart, yStart, x.count)
  }

  /// `x = factor·x`, element by element.
  public static func scale(_ x: UnsafeMutableBufferPointer<Float>, by factor: Float) {
    guard let start = x.baseAddress else { return }
    ck_scale(factor, start, x.count)
  }

  /// `sums += x²`, element by element in f64: called with one row after the other it gives the sums of
  /// squares of the columns.
  public static func addSquares(
    of x: UnsafeBufferPointer<Float>, to sums: UnsafeMutableBufferPointer<Double>
  ) {
    precondition(x.count == sums.count)
    guard let xStart = x.baseAddress, let start = sums.baseAddress else { return }
    ck_add_squares(xStart, start, x.count)
  }
}
