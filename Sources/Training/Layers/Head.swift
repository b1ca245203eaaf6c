import Kernels

/// What follows the blocks: rows are picked, normalised, perhaps pooled, and become logits.
///
/// Only rows that have a target are computed, and their logits a part at a time: of a language model they
/// would be the largest matrix of all.
final class Head {
  /// The normalisation after the last block.
  let norm: Normalization?
  /// BERT's pooler: a layer and tanh.
  let pooler: Linear?
  let output: Linear

  init(norm: Normalization?, pooler: Linear? = nil, output: Linear) {
    self.norm = norm
    self.pooler = pooler
    self.output = output
  }

  var linears: [Linear] { [pooler, output].compactMap(\.self) }
  var norms: [Normalization] { [norm].compactMap(\.self) }
  var isTrained: Bool {
    linears.contains(where: \.isTrained) || norms.contains(where: \.isTrained)
  }

  /// Logits that are in memory at a time.
  private static let most = 1 << 25

  /// Loss and, with a `factor`, gradients.
  ///
  /// - Parameters:
  ///   - stream: the last block's output, a row for each token.
  ///   - rows: the rows that have targets, ascending.
  ///   - factor: the gradients are those of `factor` times the summed loss; 0 for none.
  ///   - streamGradient: receives the gradient of `stream`; nil where nobody asks for it.
  /// - Returns: the sum of the losses.
  func loss(
    _ stream: Matrix, rows: [Int], targets: Targets, factor: Float, streamGradient: Matrix?,
    _ context: LayerContext
  ) -> Double {
    context.workspace.scope {
      let features = Features(stream, rows: rows, head: self, context)
      let gradient =
        factor != 0
          && (streamGradient != nil || norm?.isTrained == true || pooler?.isTrained == true)
        ? context.matrix(rows.count, output.inFeatures) : nil
      var sum = 0.0
      let part = max(1, Self.most / output.outFeatures)
      for start in stride(from: 0, to: rows.count, by: part) {
        let range = start..<min(start + part, rows.count)
        context.workspace.scope {
          let logits = context.matrix(range.count, output.outFeatures)
          let input = features.output.rows(range)
          output.forward(input, into: logits, context)
          sum += Loss.sum(targets, rows: range, logits: logits, factor: factor, context)
          if factor != 0, gradient != nil || output.isTrained {
            output.backward(
              logits, input: input, inputGradient: gradient?.rows(range), context)
          }
        }
      }
      if let gradient {
        features.backward(gradient, rows: rows, streamGradient: streamGradient, context)
      }
      return sum
    }
  }

  /// The logits of `rows`.
  func logits(_ stream: Matrix, rows: [Int], _ context: LayerContext) -> [Float] {
    context.workspace.scope {
      let features = Features(stream, rows: rows, head: self, context)
      let logits = context.matrix(rows.count, output.outFeatures)
      output.forward(features.output, into: logits, context)
      return Array(UnsafeBufferPointer(start: logits.start, count: logits.rows * logits.columns))
    }
  }
}

/// The head's way from the last block to the rows that the logits are made of.
private struct Features {
  let head: Head
  let normKept: Normalization.Kept?
  /// The pooler's input and, before tanh, its output.
  let pooled: (input: Matrix, sum: Matrix)?
  let output: Matrix

  init(_ stream: Matrix, rows: [Int], head: Head, _ context: LayerContext) {
    self.head = head
    var current = context.matrix(rows.count, stream.columns)
    let picked = current
    context.rows(rows.count, width: stream.columns) { range in
      for row in range { _ = picked[row].update(fromContentsOf: stream[rows[row]]) }
    }
    if let norm = head.norm {
      let normalized = context.matrix(rows.count, stream.columns)
      normKept = norm.forward(current, into: normalized, context)
      current = normalized
    } else {
      normKept = nil
    }
    if let pooler = head.pooler {
      let sum = context.matrix(rows.count, pooler.outFeatures)
      let output = context.matrix(rows.count, pooler.outFeatures)
      pooler.forward(current, into: sum, context)
      Activation.tanh.apply(to: sum, into: output, context)
      pooled = (current, sum)
      current = output
    } else {
      pooled = nil
    }
    output = current
  }

  func backward(
    _ gradient: Matrix, rows: [Int], streamGradient: Matrix?, _ context: LayerContext
  ) {
    var gradient = gradient
    if let pooler = head.pooler, let pooled {
      Activation.tanh.backward(gradient, at: pooled.sum, into: gradient, context)
      let asks = streamGradient != nil || head.norm?.isTrained == true
      let inputGradient = context.matrix(rows.count, pooler.inFeatures)
      pooler.backward(
        gradient, input: pooled.input, inputGradient: asks ? inputGradient : nil, context)
      gradient = inputGradient
    }
    if let norm = head.norm, let normKept {
      norm.backward(
        gradient, kept: normKept, base: nil, inputGradient: streamGradient == nil ? nil : gradient,
        context)
    }
    guard let streamGradient else { return }
    context.rows(streamGradient.rows, width: streamGradient.columns) { range in
      streamGradient.rows(range).fill(0)
    }
    for (row, place) in rows.enumerated() {
      _ = streamGradient[place].update(fromContentsOf: gradient[row])
    }
  }
}
