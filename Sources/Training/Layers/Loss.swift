import CKernels
import Kernels

/// What the outputs of a model are compared with, one entry for each output row.
public enum Targets: Equatable, Sendable {
  /// The right class.
  case classes([Int32])
  /// The right numbers, `rows × outputs`: mean squared error.
  case numbers([Float])
  /// Zero or one for each output, `rows × outputs`: binary cross entropy.
  case labels([Float])
}

/// A loss over rows of logits.
enum Loss {
  /// The sum over `rows`, added up in order. The logits become their gradients times `factor`, unless
  /// `factor` is 0.
  ///
  /// - Parameters:
  ///   - logits: `rows.count × outputs`.
  ///   - rows: the entries of `targets`.
  static func sum(
    _ targets: Targets, rows: Range<Int>, logits: Matrix, factor: Float, _ context: LayerContext
  ) -> Double {
    let losses = context.workspace.vector(rows.count)
    let outputs = logits.columns
    switch targets {
    case .classes(let classes):
      context.rows(rows.count, width: outputs) { range in
        for row in range {
          losses[row] = ck_layer().pointee.cross_entropy(
            outputs, Int(classes[rows.lowerBound + row]), factor,
            logits.start + row * logits.rowStride)
        }
      }
    case .numbers(let numbers):
      for row in 0..<rows.count {
        let wanted = (rows.lowerBound + row) * outputs
        losses[row] = squaredError(logits[row], numbers[wanted..<wanted + outputs], factor)
      }
    case .labels(let labels):
      for row in 0..<rows.count {
        let wanted = (rows.lowerBound + row) * outputs
        losses[row] = binaryCrossEntropy(logits[row], labels[wanted..<wanted + outputs], factor)
      }
    }
    return losses.reduce(0) { $0 + Double($1) }
  }

  /// Mean of (x − y)² over the outputs.
  private static func squaredError(
    _ logits: Row<Float>, _ wanted: ArraySlice<Float>, _ factor: Float
  ) -> Float {
    var sum: Float = 0
    for (index, value) in zip(logits.indices, wanted) {
      let difference = logits[index] - value
      sum += difference * difference
      if factor != 0 { logits[index] = 2 * difference * factor / Float(logits.count) }
    }
    return sum / Float(logits.count)
  }

  /// Mean of `−y·ln σ(x) − (1 − y)·ln(1 − σ(x))` over the outputs.
  private static func binaryCrossEntropy(
    _ logits: Row<Float>, _ wanted: ArraySlice<Float>, _ factor: Float
  ) -> Float {
    var sum = 0.0
    for (index, value) in zip(logits.indices, wanted) {
      let x = Double(logits[index])
      let small = ReproducibleMath.exponential(max(-abs(x), -700))
      sum += max(x, 0) - x * Double(value) + ReproducibleMath.logarithm(1 + small)
      let sigmoid = x >= 0 ? 1 / (1 + small) : small / (1 + small)
      if factor != 0 {
        logits[index] = Float(sigmoid - Double(value)) * factor / Float(logits.count)
      }
    }
    return Float(sum / Double(logits.count))
  }
}
