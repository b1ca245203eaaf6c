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

  func forward(
    _ input: Matrix, into output: Matrix, through branch: Branch, _ context: LayerContext
  ) -> Kept {
    let sum = context.matrix(input.rows, input.columns)
    let normalized = branch.normalized
    switch order {
    case .normFirst:
      let attentionNorm = attentionNorm.forward(input, into: normalized, context)
      let attention = attention.forward(normalized, into: branch.output, context)
      let feedForwardNorm = feedForwardNorm.forward(
        input, adding: branch.output, sum: sum, into: normalized, context)
      let feedForward = feedForward.forward(normalized, into: branch.output, context)
      context.add(sum, branch.output, into: output)
      return Kept(
        attention: attention, attentionNorm: attentionNorm, feedForward: feedForward,
        feedForwardNorm: feedForwardNorm)
    case .normLast:
      let secondSum = context.matrix(input.rows, input.columns)
      let attention = attention.forward(input, into: branch.output, context)
      let attentionNorm = attentionNorm.forward(
        input, adding: branch.output, sum: sum, into: normalized, context)
      let feedForward = feedForward.forward(normalized, into: branch.output, context)
      let feedForwardNorm = feedForwardNorm.forward(
        normalized, adding: branch.output, sum: secondSum, into: output, context)
      return Kept(
        attention: attention, attentionNorm: attentionNorm, feedForward: feedForward,
        feedForwardNorm: feedForwardNorm)
    }
  }

  /// Turns the gradient of the output into that of the input, in place.
  ///
  /// - Parameter asksInput: whether the gradient of the input is wanted.
  func backward(
    _ gradient: Matrix, input: Matrix, kept: Kept, asksInput: Bool, _ context: LayerContext
  ) {
    context.workspace.scope {
      switch order {
      case .normFirst:
        normFirstBackward(gradient, kept: kept, asksInput: asksInput, context)
      case .normLast:
        normLastBackward(gradient, input: input, kept: kept, asksInput: asksInput, context)
      }
    }
  }

  private func normFirstBackward(
    _ gradient: Matrix, kept: Kept, asksInput: Bool, _ context: LayerContext
  ) {
    let branch = context.matrix(gradient.rows, gradient.columns)
    let again = context.matrix(gradient.rows, gradient.columns)

    let asksSum = asksInput || attention.isTrained || attentionNorm.isTrained
    if feedForward.needsInput {
      feedForwardNorm.normalize(kept.feedForwardNorm, into: again, context)
    }
    let asksBranch = asksSum || feedForwardNorm.isTrained
    withCopy(of: gradient, if: feedForward.down.adapter != nil, context) {
      feedForward.backward(
        $0, kept: kept.feedForward, input: again, inputGradient: asksBranch ? branch : nil,
        context)
    }
    if asksBranch {
      feedForwardNorm.backward(
        branch, kept: kept.feedForwardNorm, base: gradient,
        inputGradient: asksSum ? gradient : nil, context)
    }
    guard asksSum else { return }

    if attention.needsInput { attentionNorm.normalize(kept.attentionNorm, into: again, context) }
    let asksAttentionBranch = asksInput || attentionNorm.isTrained
    withCopy(of: gradient, if: attention.output.adapter != nil, context) {
      attention.backward(
        $0, kept: kept.attention, input: again,
        inputGradient: asksAttentionBranch ? branch : nil, context)
    }
    if asksAttentionBranch {
      attentionNorm.backward(
        branch, kept: kept.attentionNorm, base: gradient,
        inputGradient: asksInput ? gradient : nil, context)
    }
  }

  private func normLastBackward(
    _ gradient: Matrix, input: Matrix, kept: Kept, asksInput: Bool, _ context: LayerContext
  ) {
    let branch = context.matrix(gradient.rows, gradient.columns)
    let again = context.matrix(gradient.rows, gradient.columns)
    feedForwardNorm.backward(
      gradient, kept: kept.feedForwardNorm, base: nil, inputGradient: gradient, context)
    let asksMiddle = asksInput || attention.isTrained || attentionNorm.isTrained
    if feedForward.needsInput { attentionNorm.normalize(kept.attentionNorm, into: again, context) }
    withCopy(of: gradient, if: feedForward.down.adapter != nil, context) {
      feedForward.backward(
        $0, kept: kept.feedForward, input: again, inputGradient: asksMiddle ? branch : nil,
        context)
    }
    guard asksMiddle else { return }
    context.add(gradient, branch, into: gradient)

    attentionNorm.backward(
      gradient, kept: kept.attentionNorm, base: nil, inputGradient: gradient, context)
    guard asksInput || attention.isTrained else { return }
    withCopy(of: gradient, if: attention.output.adapter != nil, context) {
      attention.backward(
        $0, kept: kept.attention, input: input, inputGradient: asksInput ? branch : nil, context)
    }
    if asksInput { context.add(gradient, branch, into: gradient) }
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
