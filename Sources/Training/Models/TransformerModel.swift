import Kernels

/// A transformer from a Hugging Face folder: frozen, but for what is attached to it or trained in it.
public final class TransformerModel {
  /// What the outputs are.
  public enum Task: Equatable, Sendable {
    case languageModel
    case classifier(ModelInput.Pooling)
    case imageClassifier(tokens: Int)
  }

  public let context: LayerContext
  public let task: Task
  /// Keep only the inputs of the blocks, and compute the rest again in the backward pass.
  public var recomputesBlocks = false {
    didSet { arrangeAdapters() }
  }
  /// Hidden size.
  public let width: Int
  /// The longest sequence; nil when there is no table of positions.
  let longest: Int?
  /// What every sequence begins with.
  var virtualTokens: VirtualTokens?
  let embedding: any InputEmbedding
  let blocks: [TransformerBlock]
  let head: Head
  private let rotary: RotaryEmbedding?

  init(
    context: LayerContext, task: Task, width: Int, longest: Int?,
    embedding: any InputEmbedding, blocks: [TransformerBlock], head: Head, rotary: RotaryEmbedding?
  ) {
    self.context = context
    self.task = task
    self.width = width
    self.longest = longest
    self.embedding = embedding
    self.blocks = blocks
    self.head = head
    self.rotary = rotary
    linears = embedding.linears + blocks.flatMap(\.linears) + head.linears
    norms = embedding.norms + blocks.flatMap(\.norms) + head.norms
    for (number, linear) in linears.enumerated() { linear.number = number }
  }

  /// All linear layers, in the order in which they are applied.
  public let linears: [Linear]
  /// All normalisations, likewise.
  public let norms: [Normalization]

  /// All tensors of the base, each once.
  public var tensors: [BaseTensor] {
    var seen: Set<ObjectIdentifier> = []
    let all =
      embedding.tensors + linears.flatMap { [$0.weight, $0.bias].compactMap(\.self) }
      + norms.flatMap { [$0.weight, $0.bias].compactMap(\.self) }
    return all.filter { seen.insert(ObjectIdentifier($0)).inserted }
  }

  /// Numbers in all tensors of the base.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }

  /// Classes, or the size of the vocabulary.
  public var outputs: Int { head.output.outFeatures }

  /// The batch as this model reads it.
  public func input(_ batch: Batch) throws(ModelError) -> ModelInput {
    let input =
      switch task {
      case .languageModel: try ModelInput(languageModel: batch)
      case .classifier(let pooling): try ModelInput(classifier: batch, pooling: pooling)
      case .imageClassifier(let tokens): try ModelInput(images: batch, length: tokens)
      }
    try check(input, batch)
    return input
  }

  private func check(_ input: ModelInput, _ batch: Batch) throws(ModelError) {
    if let tokens = embedding as? TokenEmbedding {
      let vocabulary = tokens.tokens.matrix.rows
      if let id = input.ids.first(where: { $0 < 0 || $0 >= vocabulary }) {
        throw .token(id: Int(id), vocabulary: vocabulary)
      }
      if let types = tokens.types,
        let type = input.types.first(where: { $0 < 0 || $0 >= types.matrix.rows })
      {
        throw .token(id: Int(type), vocabulary: types.matrix.rows)
      }
      if let longest, let last = input.layout.positions.max() {
        let length = Int(last) + 1 + (virtualTokens?.count ?? 0)
        if length > longest { throw .length(length, most: longest) }
      }
    }
    if let patches = embedding as? PatchEmbedding {
      let expected = [patches.channels, patches.imageHeight, patches.imageWidth]
      guard batch.pixelShape == expected else {
        throw .image(shape: batch.pixelShape, expected: expected)
      }
    }
    if case .classes(let classes) = input.targets,
      let label = classes.first(where: { $0 < 0 || $0 >= outputs })
    {
      throw .label(Int(label), classes: outputs)
    }
  }

  /// The logits of the rows that count, `rows × outputs`.
  public func logits(_ input: ModelInput) -> [Float] {
    let input = extended(input)
    return step(input) { stream, _, _ in head.logits(stream, pooled: input.pooled, context) }
  }

  /// The sum of the losses of the rows that count. With a `factor`, the gradients of `factor` times that
  /// sum are added to those of everything that is trained.
  public func loss(_ input: ModelInput, factor: Float = 0) -> Double {
    let input = extended(input)
    guard factor != 0 else {
      return step(input) { stream, _, _ in
        head.loss(
          stream, pooled: input.pooled, targets: input.targets, factor: 0, streamGradient: nil,
          context)
      }
    }
    return step(input, lowest: lowestTrained) { stream, inputs, kept in
      let lowest = lowestTrained
      let gradient = context.matrix(stream.rows, stream.columns)
      let loss = head.loss(
        stream, pooled: input.pooled, targets: input.targets, factor: factor,
        streamGradient: lowest < blocks.count ? gradient : nil, context)
      backward(gradient, rows: rowsAfterBlocks(input), from: lowest, inputs: inputs, kept: kept)
      return loss
    }
  }

  /// The lowest block that a gradient must reach: −1 for the embedding, the number of blocks for none.
  private var lowestTrained: Int {
    if embedding.isTrained || virtualTokens?.place == .input { return -1 }
    return blocks.firstIndex(where: \.isTrained) ?? blocks.count
  }

  /// Gives every adapter memory of its own for what it keeps; with `recomputesBlocks` one in the same place
  /// of every block, since blocks go forward and backward one after the other.
  func arrangeAdapters() {
    var shared: [AttachedAdapter<Float>.KeptMemory] = []
    for block in blocks {
      for (place, adapter) in block.adapters.enumerated() {
        if place == shared.count || !recomputesBlocks { shared.append(.init()) }
        adapter?.kept = shared[recomputesBlocks ? place : shared.count - 1]
      }
    }
  }

  private func extended(_ input: ModelInput) -> ModelInput {
    virtualTokens?.extend(input, task: task) ?? input
  }

  /// Runs the blocks, and then `body` with the last one's output for the rows that count, the blocks'
  /// inputs and what they kept.
  ///
  /// - Parameter lowest: blocks below it, and with `recomputesBlocks` all, keep nothing.
  private func step<Result>(
    _ input: ModelInput, lowest: Int? = nil,
    _ body: (Matrix, [Matrix], [TransformerBlock.Kept?]) -> Result
  ) -> Result {
    context.workspace.scope {
      context.layout = input.layout
      rotary?.prepare(for: input.layout)
      let tokens = input.layout.tokens
      var stream = context.matrix(tokens, width)
      embedding.forward(input, into: stream, context)
      let branch = TransformerBlock.Branch(tokens, width, context)
      // Blocks that nobody comes back to write to two matrices in turn.
      var other = context.matrix(tokens, width)
      var inputs: [Matrix] = []
      var kept: [TransformerBlock.Kept?] = []
      for (number, block) in blocks.enumerated() {
        let isReached = lowest.map { number >= $0 } ?? false
        let rows = number == blocks.count - 1 ? rowsAfterBlocks(input) : nil
        inputs.append(stream)
        let outputs = rows?.count ?? tokens
        let output = isReached ? context.matrix(outputs, width) : other.rows(0..<outputs)
        if isReached, !recomputesBlocks {
          kept.append(block.forward(stream, rows: rows, into: output, through: branch, context))
        } else {
          context.workspace.scope {
            _ = block.forward(stream, rows: rows, into: output, through: branch, context)
          }
          kept.append(nil)
        }
        if !isReached { other = stream }
        stream = output
      }
      return body(stream, inputs, kept)
    }
  }

  /// The rows that the last block is asked for; nil for all.
  private func rowsAfterBlocks(_ input: ModelInput) -> [Int]? {
    input.rows.count < input.layout.tokens ? input.rows : nil
  }

  /// - Parameters:
  ///   - last: the gradient of the last block's output, a row for each of `rows`.
  private func backward(
    _ last: Matrix, rows: [Int]?, from lowest: Int, inputs: [Matrix],
    kept: [TransformerBlock.Kept?]
  ) {
    let tokens = context.layout.tokens
    let gradient = rows == nil ? last : context.matrix(tokens, width)
    for number in stride(from: blocks.count - 1, through: max(lowest, 0), by: -1) {
      let isLast = number == blocks.count - 1
      let given = isLast ? last : gradient
      context.workspace.scope {
        let block = blocks[number]
        let saved =
          kept[number]
          ?? block.forward(
            inputs[number], rows: isLast ? rows : nil, into: context.matrix(given.rows, width),
            through: TransformerBlock.Branch(tokens, width, context), context)
        block.backward(
          given, into: gradient, input: inputs[number], kept: saved, asksInput: number > lowest,
          context)
      }
    }
    if lowest < 0 { embedding.backward(gradient, context) }
  }
}
