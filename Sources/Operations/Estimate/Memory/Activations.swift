/// What a training step works with besides weights and parameters, in f32, as `train` holds it.
///
/// For T tokens, R of them with a target, counted in numbers:
///
/// - the stream: `5·T·d` for the embedding, its input, and what blocks write to in turn;
/// - each block: of attention, queries, keys, values and its output, `T·(2·d_q + 2·d_kv)`, with normalised
///   heads queries and keys twice, and the logarithm of each softmax's sum, `T·heads`; the inputs of its
///   norms and its output, and the input of the MLP's activation function, `d_ff`, with a gate `2·d_ff`,
///   for each expert that a token goes through: of T tokens, in the last block of R;
/// - what the modules keep of their own (`KeptActivations`): their inputs are computed again;
/// - the gradient of the stream, and the most that is needed at a time with it: by a block `3·T·d` and the
///   gradients inside its MLP or attention, by the head `2·R·d` and a part of the logits;
/// - operands of a matrix product as they are packed, and the program itself.
///
/// When blocks are computed again, each keeps its output alone, and one at a time the rest.
///
/// Without `config.json` the blocks are not known; then the output of every linear layer counts as kept.
struct Activations {
  var base: ModelShapes
  /// Adapted layers, with what the method keeps for each.
  var modules: [(layer: ModelLayer, kept: KeptActivations)]
  var size: EstimateRequest.StepSize
  /// Only the blocks' outputs are kept.
  var recomputesBlocks = false

  /// The most logits in memory at a time, and the most bytes of a packed operand.
  private static let logitsAtATime = 0x1p25
  private static let packedBytes = 0x1p25

  /// Code, tables and what a process takes before it has read a model.
  static let programBytes = 26 << 20

  private var tokens: Double { Double(size.tokens) }

  /// Bytes, in f32.
  func bytes() throws(EstimateError) -> Int {
    let packed = min(Self.packedBytes / 4, tokens * Double(widest))
    let numbers = packed + (base.facts.map(stepNumbers) ?? outputNumbers)
    guard numbers < 0x1p58 else { throw .tooLarge }
    return Self.programBytes + 4 * Int(numbers)
  }

  /// The largest dimension of a linear layer that all tokens go through.
  private var widest: Int {
    base.layers.reduce(0) { widest, layer in
      guard layer.geometry.kind == .linear, !layer.isOutputHead else { return widest }
      return max(widest, layer.geometry.inFeatures, layer.geometry.outFeatures)
    }
  }

  private var outputNumbers: Double {
    let outputs = base.layers.reduce(0) { sum, layer in
      guard layer.geometry.kind == .linear else { return sum }
      return sum + Double(layer.geometry.outFeatures) * layer.tokenShare
    }
    return tokens * (outputs + keptByModules)
  }

  /// Numbers that modules keep for a token.
  private var keptByModules: Double {
    modules.reduce(0) { $0 + Double($1.kept.numbers) * $1.layer.tokenShare }
  }

  private func stepNumbers(_ facts: ArchitectureFacts) -> Double {
    let targets = Double(size.targets)
    let width = Double(facts.width)
    let kept = facts.blocks.enumerated().map { number, block in
      tokens * attention(block)
        + (number == facts.blocks.count - 1 ? targets : tokens) * behindAttention(block)
    }
    let transient = facts.blocks.map { tokens * (3 * Double($0.width) + insideBackward($0)) }
    let head = targets * 2 * width + min(targets * Double(facts.vocabulary), Self.logitsAtATime)
    let stream = tokens * 6 * width
    let modules = tokens * keptByModules
    guard recomputesBlocks else {
      return stream + kept.reduce(0, +) + modules + max(transient.max() ?? 0, head)
    }
    let count = Double(max(facts.blocks.count, 1))
    let again = zip(kept, transient).map { $0 + $1 + 3 * tokens * width }.max() ?? 0
    return stream + tokens * count * width + modules / count + max(again, head)
  }

  private func attention(_ block: ArchitectureFacts.Block) -> Double {
    let projections = 2 * (block.queryWidth + block.keyValueWidth)
    let normalized = block.normalizesHeads ? block.queryWidth + block.keyValueWidth : 0
    return Double(block.attentions * (projections + normalized + block.heads))
  }

  private func behindAttention(_ block: ArchitectureFacts.Block) -> Double {
    Double(block.keptStreams * block.width + inner(block))
  }

  /// The MLP's hidden layer again and its gradient, or the gradients of attention.
  private func insideBackward(_ block: ArchitectureFacts.Block) -> Double {
    let keepsHidden = modules.contains { $0.kept.input }
    let hidden = block.hidden * block.activeExperts * (keepsHidden ? 2 : 1)
    return Double(max(hidden, 2 * (block.queryWidth + block.keyValueWidth)))
  }

  private func inner(_ block: ArchitectureFacts.Block) -> Int {
    block.hidden * block.activeExperts * (block.isGated ? 2 : 1)
  }
}
