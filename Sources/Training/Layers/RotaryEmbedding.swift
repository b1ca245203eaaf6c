import CKernels
import Kernels

/// Rotary position embedding: pairs (j, j + dim/2) of each head turn with the position (Su et al. 2021, in
/// the half-split pairing of GPT-NeoX).
final class RotaryEmbedding {
  /// Numbers of a head that turn; the rest stays.
  let dim: Int
  private let theta: Double
  private let scaling: RotaryScaling
  /// The length that the frequencies are for, where they depend on it.
  private var length = 0
  private var frequencies: [Float] = []
  /// Cosines and sines of positions 0, 1, …, dim/2 each.
  private var cosines: [Float] = []
  private var sines: [Float] = []

  init(dim: Int, theta: Double, scaling: RotaryScaling) {
    (self.dim, self.theta, self.scaling) = (dim, theta, scaling)
  }

  /// Makes the tables reach all positions of `layout`.
  func prepare(for layout: TokenLayout) {
    let needed = Int(layout.positions.max() ?? -1) + 1
    if frequencies.isEmpty || (scaling.dependsOnLength && needed != length) {
      frequencies = scaling.frequencies(dim: dim, theta: theta, length: needed)
      (cosines, sines, length) = ([], [], needed)
    }
    let attention = Float(scaling.attention)
    for position in cosines.count / max(dim / 2, 1)..<max(needed, cosines.count / max(dim / 2, 1)) {
      for frequency in frequencies {
        // The angle is rounded to f32, as the models were trained with.
        let angle = ReproducibleMath.sineAndCosine(Double(Float(position) * frequency))
        cosines.append(Float(angle.cosine) * attention)
        sines.append(Float(angle.sine) * attention)
      }
    }
  }

  /// Turns the heads of every row of `x`, or turns them back. Rows are `heads × headDim`.
  func rotate(_ x: Matrix, headDim: Int, back: Bool = false, _ context: LayerContext) {
    let half = dim / 2
    let heads = x.columns / headDim
    cosines.withUnsafeBufferPointer { cosines in
      sines.withUnsafeBufferPointer { sines in
        guard let cosine = cosines.baseAddress, let sine = sines.baseAddress else { return }
        context.rows(x.rows, width: x.columns) { rows in
          for row in rows {
            let at = Int(context.layout.positions[row]) * half
            ck_layer().pointee.rotate(
              heads, headDim, half, cosine + at, sine + at, back ? 1 : 0,
              x.start + row * x.rowStride)
          }
        }
      }
    }
  }
}
