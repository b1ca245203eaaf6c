import CKernels
import Kernels

/// LayerNorm or RMSNorm over the rows of a matrix.
///
/// Of a forward pass only two numbers a row are kept: x̂ is computed again from the input.
public final class Normalization {
  /// The module's path: `model.norm`.
  public let path: String
  public let weight: BaseTensor
  /// Only in LayerNorm.
  public let bias: BaseTensor?
  let epsilon: Float
  /// LayerNorm subtracts the mean, RMSNorm does not.
  let centers: Bool
  public var width: Int { weight.count }

  public init(path: String, weight: BaseTensor, bias: BaseTensor?, epsilon: Float, centers: Bool) {
    self.path = path
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
    self.centers = centers
  }

  public var isTrained: Bool { weight.isTrained || bias?.isTrained == true }

  /// What the backward pass needs: the input, which the caller keeps, and its statistics.
  struct Kept {
    var input: Matrix
    var mean: Row<Float>?
    var inverse: Row<Float>
  }

  /// Normalises `input`, or with `adding` the sum of both, which is stored in `sum`.
  ///
  /// All matrices are stored without gaps. `output` may be nil where only the statistics are wanted.
  func forward(
    _ input: Matrix, adding added: Matrix? = nil, sum: Matrix? = nil, into output: Matrix?,
    _ context: LayerContext
  ) -> Kept {
    let kept = Kept(
      input: sum ?? input, mean: centers ? context.workspace.vector(input.rows) : nil,
      inverse: context.workspace.vector(input.rows))
    context.rows(input.rows, width: width) { rows in
      let at = rows.lowerBound * width
      guard let inverse = kept.inverse.baseAddress else { return }
      ck_layer().pointee.norm_statistics(
        rows.count, width, input.start + at, added.map { UnsafePointer($0.start + at) },
        sum.map { $0.start + at }, epsilon,
        kept.mean?.baseAddress.map { $0 + rows.lowerBound }, inverse + rows.lowerBound)
      if let output {
        withNorm(kept, rows: rows) { ck_layer().pointee.normalize($0, output.start + at) }
      }
    }
    return kept
  }

  /// The output again.
  func normalize(_ kept: Kept, into output: Matrix, _ context: LayerContext) {
    context.rows(kept.input.rows, width: width) { rows in
      withNorm(kept, rows: rows) {
        ck_layer().pointee.normalize($0, output.start + rows.lowerBound * width)
      }
    }
  }

  /// Adds the gradients of weight and bias, and stores `base` plus the gradient of the input in
  /// `inputGradient`, which may be `base` or the output's gradient; nil where nobody asks for it.
  func backward(
    _ gradient: Matrix, kept: Kept, base: Matrix?, inputGradient: Matrix?, _ context: LayerContext
  ) {
    if isTrained {
      let (dweight, dbias) = (weight.gradient?.baseAddress, bias?.gradient?.baseAddress)
      context.pool.split(width, least: 64) { columns in
        withNorm(kept, rows: 0..<kept.input.rows) {
          ck_layer().pointee.norm_gradients(
            $0, gradient.start, columns.lowerBound, columns.count, dweight, dbias)
        }
      }
    }
    guard let inputGradient else { return }
    context.rows(kept.input.rows, width: width) { rows in
      let at = rows.lowerBound * width
      withNorm(kept, rows: rows) {
        ck_layer().pointee.norm_backward(
          $0, gradient.start + at, base.map { UnsafePointer($0.start + at) },
          inputGradient.start + at)
      }
    }
  }

  private func withNorm(
    _ kept: Kept, rows: Range<Int>, _ body: (UnsafePointer<ck_norm>) -> Void
  ) {
    guard let inverse = kept.inverse.baseAddress else { return }
    var norm = ck_norm(
      rows: rows.count, width: width, x: kept.input.start + rows.lowerBound * width,
      mean: kept.mean?.baseAddress.map { UnsafePointer($0 + rows.lowerBound) },
      inverse: inverse + rows.lowerBound, weight: weight.start,
      bias: bias.map { UnsafePointer($0.start) })
    body(&norm)
  }
}
