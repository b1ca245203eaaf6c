import Kernels

/// One layer of a transformer: attention and feed-forward, each with a residual connection and a
/// normalisation before it (GPT-2, LLaMA, ViT) or after the sum (BERT).
final class TransformerBlock {
  enum Order {
    /// `x + f(norm(x))`.
    case normFirst
    /// `norm(x + f(x))`.
    case normLast
  }

  let attention: SelfAttention
  let attentionNorm: Normalization
  let feedForward: FeedForward
  let feedForwardNorm: Normalization
  let order: Order

  init(
    attention: SelfAttention, attentionNorm: Normalization, feedForward: FeedForward,
    feedForwardNorm: Normalization, order: Order
  ) {
    self.attention = attention
    self.attentionNorm = attentionNorm
    self.feedForward = feedForward
    self.feedForwardNorm = feedForwardNorm
    self.order = order
  }

  /// In the order in which they are applied.
  var linears: [Linear] { attention.linears + feedForward.linears }
  /// The linear layers' adapters and the one beside the feed-forward, nil where there is none.
  var adapters: [AttachedAdapter<Float>?] { linears.map(\.adapter) + [feedForward.parallel] }
  var norms: [Normalization] { [attentionNorm] + attention.norms + [feedForwardNorm] }
  var isTrained: Bool {
    attention.isTrained || feedForward.isTrained || attentionNorm.isTrained
      || feedForwardNorm.isTrained
  }

  /// What the backward pass needs; the block's input is kept by whoever has it.
  struct Kept {
    /// The tokens whose outputs were asked for; all when nil.
    var rows: [Int]?
    var attention: SelfAttention.Kept
    var attentionNorm: Normalization.Kept
    var feedForward: FeedForward.Kept
    var feedForwardNorm: Normalization.Kept
  }

  /// A branch's input and output: needed for a moment only, and by one block after the other.
  struct Branch {
    let normalized: Matrix
    let output: Matrix

    init(_ tokens: Int, _ width: Int, _ context: LayerContext) {
      normalized = context.matrix(tokens, width)
      output = context.matrix(tokens, width)
    }
  }

  /// - Parameters:
  ///   - rows: the tokens whose outputs are asked for, ascending; all when nil. What follows attention is
  ///     computed for them alone.
  ///   - output: a row for each of them.
  func forward(
    _ input: Matrix, rows: [Int]?, into output: Matrix, through branch: Branch,
    _ context: LayerContext
  ) -> Kept {
    let sum = context.matrix(output.rows, output.columns)
    let few = 0..<output.rows
    let (result, normalized) = (branch.output.rows(few), branch.normalized.rows(few))
    let residual = context.pick(rows, of: input)
    switch order {
    case .normFirst:
      let attentionNorm = attentionNorm.forward(input, into: branch.normalized, context)
      let attention = attention.forward(branch.normalized, rows: rows, into: result, context)
      let feedForwardNorm = feedForwardNorm.forward(
        residual, adding: result, sum: sum, into: normalized, context)
      let feedForward = feedForward.forward(normalized, into: result, context)
      context.add(sum, result, into: output)
      return Kept(
        rows: rows, attention: attention, attentionNorm: attentionNorm, feedForward: feedForward,
        feedForwardNorm: feedForwardNorm)
    case .normLast:
      let secondSum = context.matrix(output.rows, output.columns)
      let attention = attention.forward(input, rows: rows, into: result, context)
      let attentionNorm = attentionNorm.forward(
        residual, adding: result, sum: sum, into: normalized, context)
      let feedForward = feedForward.forward(normalized, into: result, context)
      let feedForwardNorm = feedForwardNorm.forward(
        normalized, adding: result, sum: secondSum, into: output, context)
      return Kept(
        rows: rows, attention: attention, attentionNorm: attentionNorm, feedForward: feedForward,
        feedForwardNorm: feedForwardNorm)
    }
  }

  /// - Parameters:
  ///   - gradient: of the output, a row for each that was asked for; it is changed.
  ///   - inputGradient: receives that of the input where `asksInput`; `gradient` itself where all rows were
  ///     asked for.
  func backward(
    _ gradient: Matrix, into inputGradient: Matrix, input: Matrix, kept: Kept, asksInput: Bool,
    _ context: LayerContext
  ) {
    context.workspace.scope {
      switch order {
      case .normFirst:
        normFirstBackward(gradient, into: inputGradient, kept: kept, asksInput: asksInput, context)
      case .normLast:
        normLastBackward(
          gradient, into: inputGradient, input: input, kept: kept, asksInput: asksInput, context)
      }
    }
  }

  private func normFirstBackward(
    _ gradient: Matrix, into inputGradient: Matrix, kept: Kept, asksInput: Bool,
    _ context: LayerContext
  ) {
    let branch = context.matrix(inputGradient.rows, inputGradient.columns)
    let again = context.matrix(inputGradient.rows, inputGradient.columns)
    let few = 0..<gradient.rows

    let asksSum = asksInput || attention.isTrained || attentionNorm.isTrained
    if feedForward.needsInput {
      feedForwardNorm.normalize(kept.feedForwardNorm, into: again.rows(few), context)
    }
    let asksBranch = asksSum || feedForwardNorm.isTrained
    withCopy(of: gradient, if: feedForward.down.adapter != nil, context) {
      feedForward.backward(
        $0, kept: kept.feedForward, input: again.rows(few),
        inputGradient: asksBranch ? branch.rows(few) : nil, context)
    }
    if asksBranch {
      feedForwardNorm.backward(
        branch.rows(few), kept: kept.feedForwardNorm, base: gradient,
        inputGradient: asksSum ? gradient : nil, context)
    }
    guard asksSum else { return }

    if attention.needsInput { attentionNorm.normalize(kept.attentionNorm, into: again, context) }
    let asksAttentionBranch = asksInput || attentionNorm.isTrained
    withCopy(of: gradient, if: attention.output.adapter != nil, context) {
      attention.backward(
        $0, rows: kept.rows, kept: kept.attention, input: again,
        inputGradient: asksAttentionBranch ? branch : nil, context)
    }
    if asksAttentionBranch {
      context.spread(gradient, to: kept.rows, of: inputGradient)
      attentionNorm.backward(
        branch, kept: kept.attentionNorm, base: inputGradient,
        inputGradient: asksInput ? inputGradient : nil, context)
    }
  }

  private func normLastBackward(
    _ gradient: Matrix, into inputGradient: Matrix, input: Matrix, kept: Kept, asksInput: Bool,
    _ context: LayerContext
  ) {
    let branch = context.matrix(inputGradient.rows, inputGradient.columns)
    let few = branch.rows(0..<gradient.rows)
    let again = context.matrix(gradient.rows, gradient.columns)
    feedForwardNorm.backward(
      gradient, kept: kept.feedForwardNorm, base: nil, inputGradient: gradient, context)
    let asksMiddle = asksInput || attention.isTrained || attentionNorm.isTrained
    if feedForward.needsInput { attentionNorm.normalize(kept.attentionNorm, into: again, context) }
    withCopy(of: gradient, if: feedForward.down.adapter != nil, context) {
      feedForward.backward(
        $0, kept: kept.feedForward, input: again, inputGradient: asksMiddle ? few : nil, context)
    }
    guard asksMiddle else { return }
    context.add(gradient, few, into: gradient)

    attentionNorm.backward(
      gradient, kept: kept.attentionNorm, base: nil, inputGradient: gradient, context)
    guard asksInput || attention.isTrained else { return }
    withCopy(of: gradient, if: attention.output.adapter != nil, context) {
      attention.backward(
        $0, rows: kept.rows, kept: kept.attention, input: input,
        inputGradient: asksInput ? branch : nil, context)
    }
    guard asksInput else { return }
    context.spread(gradient, to: kept.rows, of: inputGradient)
    context.add(inputGradient, branch, into: inputGradient)
  }

  /// An adapter changes the gradient that it is given, and the residual connection needs it as it was.
  private func withCopy(
    of gradient: Matrix, if isChanged: Bool, _ context: LayerContext, _ body: (Matrix) -> Void
  ) {
    guard isChanged else { return body(gradient) }
    context.workspace.scope {
      let copy = context.matrix(gradient.rows, gradient.columns)
      copy.start.update(from: gradient.start, count: gradient.rows * gradient.columns)
      body(copy)
    }
  }
}
