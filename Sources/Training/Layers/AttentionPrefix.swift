import Kernels

/// Trained keys and values before those of an attention (Li and Liang 2021, equation 3). Every token of
/// every sequence sees them; keys are as attention sees them, neither normalised nor turned.
///
/// Attention over the prefix is added to attention over the tokens, with the weights that one softmax over
/// both would give: from the logarithms of the two sums.
struct AttentionPrefix {
  /// `prefix × keyHeads·headDim`, and the gradients.
  let key: Matrix
  let value: Matrix
  let keyGradient: Matrix
  let valueGradient: Matrix

  /// The columns of query head `head`, and of the head of keys that serves it.
  private func columns(
    of head: Int, _ shape: SelfAttention.Shape
  ) -> (query: Range<Int>, key: Range<Int>) {
    let dim = shape.headDim
    let keyHead = head * shape.keyHeads / shape.heads
    return (head * dim..<(head + 1) * dim, keyHead * dim..<(keyHead + 1) * dim)
  }

  /// Completes the heads' output and `logSums`, which are those of the tokens alone.
  func forward(_ kept: SelfAttention.Kept, _ shape: SelfAttention.Shape, _ context: LayerContext) {
    for head in 0..<shape.heads {
      let at = columns(of: head, shape)
      let mixed = kept.mixed.columns(at.query)
      context.workspace.scope {
        let scores = context.matrix(mixed.rows, key.rows)
        context.products.multiply(
          kept.heads.query.columns(at.query), key.columns(at.key).transposed, scale: shape.scale,
          into: scores)
        context.rows(mixed.rows, width: mixed.columns + key.rows * 16) { rows in
          for token in rows {
            let own = kept.logSums[head, token]
            let total = Self.logSum(scores[token], own)
            kept.logSums[head, token] = total
            Self.probabilities(scores[token], total)
            Float.multiply(mixed[token], by: Self.exponential(own - total))
          }
        }
        context.products.add(scores, value.columns(at.key), to: mixed)
      }
    }
  }

  /// Adds the gradients of the prefix, and its part of the queries' gradient.
  func backward(
    _ gradient: Matrix, kept: SelfAttention.Kept, queryGradient: Matrix,
    _ shape: SelfAttention.Shape, _ context: LayerContext
  ) {
    for head in 0..<shape.heads {
      let at = columns(of: head, shape)
      let (g, query) = (gradient.columns(at.query), kept.heads.query.columns(at.query))
      let mixed = kept.mixed.columns(at.query)
      context.workspace.scope {
        let scores = context.matrix(g.rows, key.rows)
        let slopes = context.matrix(g.rows, key.rows)
        context.products.multiply(
          query, key.columns(at.key).transposed, scale: shape.scale, into: scores)
        context.products.multiply(g, value.columns(at.key).transposed, into: slopes)
        context.rows(g.rows, width: g.columns + key.rows * 16) { rows in
          for token in rows {
            Self.probabilities(scores[token], kept.logSums[head, token])
            Float.add(-Float.dot(g[token], mixed[token]), to: slopes[token])
            Float.multiply(slopes[token], by: scores[token])
            Float.multiply(slopes[token], by: shape.scale)
          }
        }
        context.products.add(scores.transposed, g, to: valueGradient.columns(at.key))
        context.products.add(slopes.transposed, query, to: keyGradient.columns(at.key))
        context.products.add(slopes, key.columns(at.key), to: queryGradient.columns(at.query))
      }
    }
  }

  private static func exponential(_ x: Float) -> Float {
    Float(ReproducibleMath.exponential(Double(x)))
  }

  /// log(eˣ + Σ e^score).
  private static func logSum(_ scores: Row<Float>, _ x: Float) -> Float {
    let largest = scores.reduce(x, max)
    let sum = scores.reduce(exponential(x - largest)) { $0 + exponential($1 - largest) }
    return largest + Float(ReproducibleMath.logarithm(Double(sum)))
  }

  private static func probabilities(_ scores: Row<Float>, _ logSum: Float) {
    for index in scores.indices { scores[index] = exponential(scores[index] - logSum) }
  }
}
