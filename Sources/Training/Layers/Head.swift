import Kernels

/// What follows the blocks: the rows that count are normalised, perhaps averaged or pooled, and become
/// logits, a part at a time: of a language model they would be the largest matrix of all.
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
  ///   - stream: the last block's output, a row for each that counts.
  ///   - pooled: how many rows each target takes the mean of; empty for one each.
  ///   - factor: the gradients are those of `factor` times the summed loss; 0 for none.
  ///   - streamGradient: receives the gradient of `stream`; nil where nobody asks for it.
  /// - Returns: the sum of the losses.
  func loss(
    _ stream: Matrix, pooled: [Int], targets: Targets, factor: Float, streamGradient: Matrix?,
    _ context: LayerContext
  ) -> Double {
    context.workspace.scope {
      let features = Features(stream, pooled: pooled, head: self, context)
      let gradient =
        factor != 0
          && (streamGradient != nil || norm?.isTrained == true || pooler?.isTrained == true)
        ? context.matrix(features.output.rows, output.inFeatures) : nil
      var sum = 0.0
      let part = max(1, Self.most / output.outFeatures)
      for start in stride(from: 0, to: features.output.rows, by: part) {
        let range = start..<min(start + part, features.output.rows)
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
        features.backward(gradient, streamGradient: streamGradient, context)
      }
      return sum
    }
  }

  /// The logits of every target.
  func logits(_ stream: Matrix, pooled: [Int], _ context: LayerContext) -> [Float] {
    context.workspace.scope {
      let features = Features(stream, pooled: pooled, head: self, context)
      let logits = context.matrix(features.output.rows, output.outFeatures)
      output.forward(features.output, into: logits, context)
      return Array(UnsafeBufferPointer(start: logits.start, count: logits.rows * logits.columns))
    }
  }
}

/// The head's way from the last block to the rows that the logits are made of.
private struct Features {
  let head: Head
  let normKept: Normalization.Kept?
  /// How many rows each mean is of.
  let counts: [Int]
  /// The pooler's input and, before tanh, its output.
  let pooled: (input: Matrix, sum: Matrix)?
  let output: Matrix

  init(_ stream: Matrix, pooled counts: [Int], head: Head, _ context: LayerContext) {
    self.head = head
    self.counts = counts
    var current = stream
    if let norm = head.norm {
      let normalized = context.matrix(stream.rows, stream.columns)
      normKept = norm.forward(current, into: normalized, context)
      current = normalized
    } else {
      normKept = nil
    }
    if !counts.isEmpty { current = Self.means(current, counts, context) }
    if let pooler = head.pooler {
      let sum = context.matrix(current.rows, pooler.outFeatures)
      let output = context.matrix(current.rows, pooler.outFeatures)
      pooler.forward(current, into: sum, context)
      Activation.tanh.apply(to: sum, into: output, context)
      pooled = (current, sum)
      current = output
    } else {
      pooled = nil
    }
    output = current
  }

  /// Calls `body` with every row, the mean that it is part of, and its share in that.
  private static func eachRow(
    of counts: [Int], _ body: (_ row: Int, _ mean: Int, _ share: Float) -> Void
  ) {
    var row = 0
    for (mean, count) in counts.enumerated() {
      for _ in 0..<count {
        body(row, mean, 1 / Float(count))
        row += 1
      }
    }
  }

  private static func means(
    _ rows: Matrix, _ counts: [Int], _ context: LayerContext
  ) -> Matrix {
    let means = context.matrix(counts.count, rows.columns)
    means.fill(0)
    eachRow(of: counts) { row, mean, share in
      Float.add(rows[row], times: share, to: means[mean])
    }
    return means
  }

  /// The gradient of every row of the means.
  private func spread(_ gradient: Matrix, _ context: LayerContext) -> Matrix {
    let rows = context.matrix(counts.reduce(0, +), gradient.columns)
    rows.fill(0)
    Self.eachRow(of: counts) { row, mean, share in
      Float.add(gradient[mean], times: share, to: rows[row])
    }
    return rows
  }

  func backward(_ gradient: Matrix, streamGradient: Matrix?, _ context: LayerContext) {
    var gradient = gradient
    if let pooler = head.pooler, let pooled {
      Activation.tanh.backward(gradient, at: pooled.sum, into: gradient, context)
      let asks = streamGradient != nil || head.norm?.isTrained == true
      let inputGradient = context.matrix(gradient.rows, pooler.inFeatures)
      pooler.backward(
        gradient, input: pooled.input, inputGradient: asks ? inputGradient : nil, context)
      gradient = inputGradient
    }
    if !counts.isEmpty { gradient = spread(gradient, context) }
    if let norm = head.norm, let normKept {
      norm.backward(gradient, kept: normKept, base: nil, inputGradient: streamGradient, context)
    } else {
      streamGradient?.copy(gradient)
    }
  }
}
