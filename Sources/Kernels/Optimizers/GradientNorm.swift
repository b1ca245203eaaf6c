import CKernels

/// The length of a gradient, and what keeps it within bounds (Pascanu et al. 2013).
public enum GradientNorm {
  /// Numbers whose squares are added up by one thread, so that the sum does not depend on their count.
  private static let part = 1 << 14

  /// ‖g‖₂, in f64.
  public static func norm(of gradients: UnsafeMutableBufferPointer<Float>, pool: ThreadPool)
    -> Double
  {
    guard let start = gradients.baseAddress else { return 0 }
    var sums = [Double](repeating: 0, count: (gradients.count + part - 1) / part)
    sums.withUnsafeMutableBufferPointer { sums in
      pool.run(sums.count) { index in
        let at = index * part
        sums[index] = ck_layer().pointee.sum_of_squares(
          min(part, gradients.count - at), start + at)
      }
    }
    return sums.reduce(0, +).squareRoot()
  }

  /// Scales the gradients so that their norm is at most `limit`, as PyTorch's `clip_grad_norm_`.
  ///
  /// - Returns: the norm before.
  @discardableResult
  public static func clip(
    _ gradients: UnsafeMutableBufferPointer<Float>, to limit: Double, pool: ThreadPool
  ) -> Double {
    let norm = norm(of: gradients, pool: pool)
    let factor = limit / (norm + 1e-6)
    guard factor < 1, let start = gradients.baseAddress else { return norm }
    pool.split(gradients.count, least: part) { range in
      ck_layer().pointee.scale(range.count, Float(factor), start + range.lowerBound)
    }
    return norm
  }
}
