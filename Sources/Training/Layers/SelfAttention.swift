import CKernels
import Kernels

/// Multi-head attention of a sequence to itself, with its projections.
final class SelfAttention {
  /// Where queries, keys and values come from.
  enum Projections {
    case separate(query: Linear, key: Linear, value: Linear)
    /// One layer whose output is queries, keys and values side by side.
    case fused(Linear)
  }

  struct Shape {
    var heads: Int
    /// Heads of keys and values; each serves `heads/keyHeads` heads of queries.
    var keyHeads: Int
    var headDim: Int
    /// Tokens see no later ones.
    var isCausal: Bool
    /// Tokens see only others nearer than this.
    var window: Int?
    /// What the scores are multiplied with.
    var scale: Float
  }

  let projections: Projections
  let output: Linear
  let shape: Shape
  /// RMSNorm over each head of queries and keys (Qwen3).
  let queryNorm: Normalization?
  let keyNorm: Normalization?
  let rotary: RotaryEmbedding?
  /// Trained keys and values before the tokens' own.
  var prefix: AttentionPrefix?

  init(
    projections: Projections, output: Linear, shape: Shape, queryNorm: Normalization? = nil,
    keyNorm: Normalization? = nil, rotary: RotaryEmbedding? = nil
  ) {
    self.projections = projections
    self.output = output
    self.shape = shape
    self.queryNorm = queryNorm
    self.keyNorm = keyNorm
    self.rotary = rotary
  }

  private var inputLinears: [Linear] {
    switch projections {
    case .separate(let query, let key, let value): [query, key, value]
    case .fused(let all): [all]
    }
  }

  var linears: [Linear] { inputLinears + [output] }
  var norms: [Normalization] { [queryNorm, keyNorm].compactMap(\.self) }
  var isTrained: Bool {
    prefix != nil || linears.contains(where: \.isTrained) || norms.contains(where: \.isTrained)
  }
  /// Whether `backward` reads the input.
  var needsInput: Bool { inputLinears.contains(where: \.needsInput) }

  private var queryWidth: Int { shape.heads * shape.headDim }
  var keyWidth: Int { shape.keyHeads * shape.headDim }

  /// Queries, keys and values of all heads, a row for each token.
  struct Heads {
    var query: Matrix
    var key: Matrix
    var value: Matrix
    /// All three side by side, where one layer makes them.
    var fused: Matrix?
  }

  struct Kept {
    /// As attention sees them: normalised and turned.
    var heads: Heads
    var queryNorm: Normalization.Kept?
    var keyNorm: Normalization.Kept?
    /// The heads' output.
    var mixed: Matrix
    /// Its rows that are asked for, before the last projection.
    var picked: Matrix
    /// heads × tokens.
    var logSums: Matrix
  }

  private func heads(_ tokens: Int, _ context: LayerContext) -> Heads {
    if case .fused = projections {
      let all = context.matrix(tokens, queryWidth + 2 * keyWidth)
      return Heads(
        query: all.columns(0..<queryWidth),
        key: all.columns(queryWidth..<queryWidth + keyWidth),
        value: all.columns(queryWidth + keyWidth..<queryWidth + 2 * keyWidth), fused: all)
    }
    return Heads(
      query: context.matrix(tokens, queryWidth), key: context.matrix(tokens, keyWidth),
      value: context.matrix(tokens, keyWidth))
  }

  /// - Parameter rows: the tokens whose results are asked for; all when nil.
  func forward(
    _ input: Matrix, rows: [Int]?, into result: Matrix, _ context: LayerContext
  ) -> Kept {
    let mixed = context.matrix(input.rows, queryWidth)
    var kept = Kept(
      heads: heads(input.rows, context), mixed: mixed, picked: mixed,
      logSums: context.matrix(shape.heads, input.rows))
    switch projections {
    case .separate(let query, let key, let value):
      query.forward(input, into: kept.heads.query, context)
      key.forward(input, into: kept.heads.key, context)
      value.forward(input, into: kept.heads.value, context)
    case .fused(let all):
      if let target = kept.heads.fused { all.forward(input, into: target, context) }
    }
    if let queryNorm {
      kept.queryNorm = normalize(&kept.heads.query, by: queryNorm, context)
    }
    if let keyNorm { kept.keyNorm = normalize(&kept.heads.key, by: keyNorm, context) }
    rotary?.rotate(kept.heads.query, headDim: shape.headDim, context)
    rotary?.rotate(kept.heads.key, headDim: shape.headDim, context)
    withAttention(kept, context) { ck_attention_forward(context.pool.workers, $0) }
    prefix?.forward(kept, shape, context)
    kept.picked = context.pick(rows, of: mixed)
    output.forward(kept.picked, into: result, context)
    return kept
  }

  /// Replaces the heads by normalised ones; what they were is kept for the backward pass.
  private func normalize(
    _ heads: inout Matrix, by norm: Normalization, _ context: LayerContext
  ) -> Normalization.Kept {
    let normalized = context.matrix(heads.rows, heads.columns)
    let kept = norm.forward(
      byHead(heads), into: byHead(normalized), context)
    heads = normalized
    return kept
  }

  /// A row for each head of each token.
  private func byHead(_ heads: Matrix) -> Matrix {
    MatrixView(
      heads.start, rows: heads.rows * heads.columns / shape.headDim, columns: shape.headDim)
  }

  /// - Parameters:
  ///   - gradient: of the output, a row for each of `rows`; it may be changed.
  ///   - input: where `needsInput`.
  ///   - inputGradient: is replaced; nil where nobody asks for it.
  func backward(
    _ gradient: Matrix, rows: [Int]?, kept: Kept, input: Matrix?, inputGradient: Matrix?,
    _ context: LayerContext
  ) {
    context.workspace.scope {
      let tokens = kept.mixed.rows
      let mixedGradient = context.matrix(tokens, queryWidth)
      let picked = rows == nil ? mixedGradient : context.matrix(gradient.rows, queryWidth)
      output.backward(gradient, input: kept.picked, inputGradient: picked, context)
      if inputGradient == nil, prefix == nil, !inputLinears.contains(where: \.isTrained),
        !norms.contains(where: \.isTrained)
      {
        return
      }
      context.spread(picked, to: rows, of: mixedGradient)
      let gradients = heads(tokens, context)
      withAttention(kept, context) {
        ck_attention_backward(
          context.pool.workers, $0, mixedGradient.start, gradients.query.start,
          gradients.key.start, gradients.value.start)
      }
      prefix?.backward(
        mixedGradient, kept: kept, queryGradient: gradients.query, shape, context)
      rotary?.rotate(gradients.query, headDim: shape.headDim, back: true, context)
      rotary?.rotate(gradients.key, headDim: shape.headDim, back: true, context)
      if let queryNorm, let normKept = kept.queryNorm {
        let heads = byHead(gradients.query)
        queryNorm.backward(heads, kept: normKept, base: nil, inputGradient: heads, context)
      }
      if let keyNorm, let normKept = kept.keyNorm {
        let heads = byHead(gradients.key)
        keyNorm.backward(heads, kept: normKept, base: nil, inputGradient: heads, context)
      }
      switch projections {
      case .separate(let query, let key, let value):
        query.backward(gradients.query, input: input, inputGradient: inputGradient, context)
        key.backward(
          gradients.key, input: input, inputGradient: inputGradient, accumulate: true, context)
        value.backward(
          gradients.value, input: input, inputGradient: inputGradient, accumulate: true, context)
      case .fused(let all):
        if let fused = gradients.fused {
          all.backward(fused, input: input, inputGradient: inputGradient, context)
        }
      }
    }
  }

  private func withAttention(
    _ kept: Kept, _ context: LayerContext, _ body: (UnsafePointer<ck_attention>) -> Void
  ) {
    context.layout.starts.withUnsafeBufferPointer { starts in
      guard let first = starts.baseAddress else { return }
      let heads = kept.heads
      var attention = ck_attention()
      attention.starts = first
      attention.sequences = context.layout.sequences
      (attention.heads, attention.kv_heads) = (shape.heads, shape.keyHeads)
      attention.dim = shape.headDim
      (attention.q, attention.q_stride) = (UnsafePointer(heads.query.start), heads.query.rowStride)
      (attention.k, attention.k_stride) = (UnsafePointer(heads.key.start), heads.key.rowStride)
      (attention.v, attention.v_stride) = (UnsafePointer(heads.value.start), heads.value.rowStride)
      (attention.out, attention.out_stride) = (kept.mixed.start, kept.mixed.rowStride)
      attention.log_sums = kept.logSums.start
      attention.tokens = kept.logSums.columns
      attention.scale = shape.scale
      attention.causal = shape.isCausal ? 1 : 0
      attention.window = shape.window ?? 0
      attention.precision = context.precision == .f32 ? CK_MULTIPLY_F32 : CK_MULTIPLY_BF16
      body(&attention)
    }
  }
}
