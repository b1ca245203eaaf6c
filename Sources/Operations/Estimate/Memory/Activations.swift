/// What a training step keeps besides weights and parameters, in f32.
///
/// For T tokens in samples of S, counted in numbers:
///
/// - each block: the inputs of its norms, `T·d` each; queries, keys and values, `T·(d_q + 2·d_kv)`,
///   and the attention's probabilities, `T·heads·S`, for each of its attentions; the inputs of the
///   MLP's activation function, `T·d_ff`, with a gate `2·T·d_ff`, for each expert that a token goes
///   through;
/// - the input of the last norm, `T·d`, and where the model predicts tokens the logits and their
///   gradient, `2·T·V`;
/// - the inputs of the layers whose method needs them, each once however many layers read it, and what
///   the modules keep of their own (`KeptActivations`);
/// - in the backward pass, at its widest: the gradient of the stream and a copy, `2·T·d`, and the
///   gradients inside the MLP or the attention, whichever are more.
///
/// A frozen linear layer keeps nothing: its weight alone turns the gradient of its output into that of
/// its input. Without `config.json` the blocks are not known; then the output of every linear layer
/// counts as kept.
struct Activations {
  var base: ModelShapes
  /// Adapted layers, with what the method keeps for each.
  var modules: [(layer: ModelLayer, kept: KeptActivations)]
  /// Tokens of a sample.
  var sequenceLength: Int
  var batchSize: Int

  /// Bytes, in f32.
  func bytes() throws(EstimateError) -> Int {
    let numbers = (keptByBase + keptByModules + workspace) * Double(sequenceLength * batchSize)
    guard numbers < 0x1p58 else { throw .tooLarge }
    return 4 * Int(numbers)
  }

  /// Per token.
  private var keptByBase: Double {
    guard let facts = base.facts else {
      return base.layers.reduce(0) { sum, layer in
        guard layer.geometry.kind == .linear else { return sum }
        return sum + Double(layer.geometry.outFeatures) * layer.tokenShare
      }
    }
    var numbers = facts.width + 2 * facts.vocabulary
    for block in facts.blocks {
      numbers += block.norms * block.width + block.attentions * attention(block) + inner(block)
    }
    return Double(numbers)
  }

  private var keptByModules: Double {
    var numbers = 0.0
    var inputs: [(width: Double, share: Double)] = []
    var positions: [String: Int] = [:]
    for (layer, kept) in modules {
      numbers += Double(kept.numbers) * layer.tokenShare
      guard kept.input else { continue }
      if let name = layer.reads, let position = positions[name] {
        inputs[position].share += layer.tokenShare
      } else {
        if let name = layer.reads { positions[name] = inputs.count }
        inputs.append((Double(layer.geometry.inFeatures), layer.tokenShare))
      }
    }
    // Experts read different tokens of an input; the others all the same ones.
    return inputs.reduce(numbers) { $0 + $1.width * min($1.share, 1) }
  }

  private var workspace: Double {
    guard let facts = base.facts else { return 0 }
    let inside = facts.blocks.map { max(inner($0) + inner($0) / 2, attention($0)) }.max() ?? 0
    return Double(2 * facts.width + inside)
  }

  private func attention(_ block: ArchitectureFacts.Block) -> Int {
    block.queryWidth + 2 * block.keyValueWidth + block.heads * sequenceLength
  }

  private func inner(_ block: ArchitectureFacts.Block) -> Int {
    block.hidden * block.activeExperts * (block.isGated ? 2 : 1)
  }
}
