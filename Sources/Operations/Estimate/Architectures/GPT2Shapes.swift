/// GPT-2: linear layers are `Conv1D`, stored `in × out`, with query, key and value in one.
enum GPT2Shapes: ArchitectureShapes {
  static let modelTypes = ["gpt2"]

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let layers = try config.size("n_layer", in: ArchitectureConfig.layers)
    let width = try config.size("n_embd")
    let heads = try config.size("n_head")
    let hidden = try config.size("n_inner", default: 4 * width)
    let vocabulary = try config.size("vocab_size")
    let positions = try config.size("n_positions")
    let modelClass = config.modelClass
    let predictsTokens = modelClass == "GPT2LMHeadModel" || modelClass.isEmpty

    var list = LayerList(elementSize: try config.elementSize())
    list.prefix = modelClass == "GPT2Model" ? "" : "transformer."
    list.embedding("wte", vocabulary, width)
    list.embedding("wpe", positions, width)
    for index in 0..<layers {
      let block = "h.\(index)"
      func conv1D(_ name: String, _ out: Int, _ input: Int) {
        list.linear(
          "\(block).\(name)", out, input, bias: true, transposed: true)
      }
      list.norm("\(block).ln_1", width, bias: true)
      conv1D("attn.c_attn", 3 * width, width)
      conv1D("attn.c_proj", width, width)
      list.norm("\(block).ln_2", width, bias: true)
      conv1D("mlp.c_fc", hidden, width)
      conv1D("mlp.c_proj", width, hidden)
    }
    list.norm("ln_f", width, bias: true)
    list.prefix = ""
    switch modelClass {
    case "GPT2LMHeadModel", "":
      let tied = try config.flag("tie_word_embeddings", default: true)
      list.head("lm_head", vocabulary, width, tied: tied)
    case "GPT2ForSequenceClassification":
      list.head("score", try config.labels(), width)
    case "GPT2ForTokenClassification":
      list.linear("classifier", try config.labels(), width, bias: true)
    case "GPT2Model": break
    default: throw config.invalid("architectures")
    }
    let block = ArchitectureFacts.Block(
      width: width, heads: heads, queryWidth: width, keyValueWidth: width, hidden: hidden,
      isGated: false)
    return ModelShapes(
      layers: list.layers,
      facts: ArchitectureFacts(
        modelType: "gpt2", width: width, attentionLayers: layers, heads: heads,
        keyValueWidth: width, tokens: .text(maximum: positions),
        vocabulary: predictsTokens ? vocabulary : 0,
        blocks: Array(repeating: block, count: layers)))
  }
}
