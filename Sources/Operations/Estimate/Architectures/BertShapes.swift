/// BERT and RoBERTa: encoders with LayerNorm after each half of a block.
enum BertShapes: ArchitectureShapes {
  static let modelTypes = ["bert", "roberta", "xlm-roberta"]

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let layers = try config.size("num_hidden_layers", in: ArchitectureConfig.layers)
    let width = try config.size("hidden_size")
    let heads = try config.size("num_attention_heads")
    let hidden = try config.size("intermediate_size")
    let vocabulary = try config.size("vocab_size")
    let positions = try config.size("max_position_embeddings", default: 512)
    let isBert = config.modelType == "bert"
    let base = isBert ? "bert" : "roberta"
    let head = Head(config.modelClass)
    guard let head else { throw config.invalid("architectures") }

    var list = LayerList(elementSize: try config.elementSize())
    list.prefix = head == .none ? "" : "\(base)."
    list.embedding("embeddings.word_embeddings", vocabulary, width)
    list.embedding("embeddings.position_embeddings", positions, width)
    list.embedding(
      "embeddings.token_type_embeddings", try config.size("type_vocab_size", default: 2), width)
    list.norm("embeddings.LayerNorm", width, bias: true)
    for index in 0..<layers {
      let layer = "encoder.layer.\(index)"
      func dense(_ name: String, _ out: Int, _ size: Int) {
        list.linear("\(layer).\(name)", out, size, bias: true)
      }
      for name in ["query", "key", "value"] {
        dense("attention.self.\(name)", width, width)
      }
      dense("attention.output.dense", width, width)
      list.norm("\(layer).attention.output.LayerNorm", width, bias: true)
      dense("intermediate.dense", hidden, width)
      dense("output.dense", width, hidden)
      list.norm("\(layer).output.LayerNorm", width, bias: true)
    }
    if head == .none || isBert && (head == .classification || head == .pretraining) {
      list.linear("pooler.dense", width, width, bias: true)
    }
    list.prefix = ""
    if isBert {
      try appendBertHead(head, config, width: width, vocabulary: vocabulary, to: &list)
    } else {
      try appendRobertaHead(head, config, width: width, vocabulary: vocabulary, to: &list)
    }

    let block = ArchitectureFacts.Block(
      width: width, keptStreams: 3, heads: heads, queryWidth: width, keyValueWidth: width,
      hidden: hidden,
      isGated: false)
    return ModelShapes(
      layers: list.layers,
      facts: ArchitectureFacts(
        modelType: config.modelType ?? "", width: width, attentionLayers: layers, heads: heads,
        keyValueWidth: width, tokens: .text(maximum: positions),
        vocabulary: head == .tokens || head == .pretraining ? vocabulary : 0,
        blocks: Array(repeating: block, count: layers)))
  }

  private enum Head {
    case none, tokens, pretraining, classification, tokenClassification, answers

    init?(_ modelClass: String) {
      if modelClass.hasSuffix("ForMaskedLM") || modelClass.hasSuffix("ForCausalLM") {
        self = .tokens
      } else if modelClass == "BertForPreTraining" {
        self = .pretraining
      } else if modelClass.hasSuffix("ForSequenceClassification") {
        self = .classification
      } else if modelClass.hasSuffix("ForTokenClassification") {
        self = .tokenClassification
      } else if modelClass.hasSuffix("ForQuestionAnswering") {
        self = .answers
      } else if modelClass.hasSuffix("Model") || modelClass.isEmpty {
        self = .none
      } else {
        return nil
      }
    }
  }

  private static func appendBertHead(
    _ head: Head, _ config: ArchitectureConfig, width: Int, vocabulary: Int,
    to list: inout LayerList
  ) throws(EstimateError) {
    switch head {
    case .tokens, .pretraining:
      let transform = "cls.predictions.transform"
      list.parameter("cls.predictions.bias", [vocabulary])
      list.linear("\(transform).dense", width, width, bias: true)
      list.norm("\(transform).LayerNorm", width, bias: true)
      let tied = try config.flag("tie_word_embeddings", default: true)
      list.head("cls.predictions.decoder", vocabulary, width, tied: tied)
      if head == .pretraining {
        list.linear("cls.seq_relationship", 2, width, bias: true)
      }
    case .classification:
      list.head("classifier", try config.labels(), width, bias: true)
    case .tokenClassification:
      list.linear("classifier", try config.labels(), width, bias: true)
    case .answers:
      list.linear("qa_outputs", try config.labels(), width, bias: true)
    case .none: break
    }
  }

  private static func appendRobertaHead(
    _ head: Head, _ config: ArchitectureConfig, width: Int, vocabulary: Int,
    to list: inout LayerList
  ) throws(EstimateError) {
    switch head {
    case .tokens:
      list.parameter("lm_head.bias", [vocabulary])
      list.linear("lm_head.dense", width, width, bias: true)
      list.norm("lm_head.layer_norm", width, bias: true)
      let tied = try config.flag("tie_word_embeddings", default: true)
      list.head("lm_head.decoder", vocabulary, width, tied: tied)
    case .classification:
      list.head("classifier.dense", width, width, bias: true)
      list.head("classifier.out_proj", try config.labels(), width, bias: true)
    case .tokenClassification:
      list.linear("classifier", try config.labels(), width, bias: true)
    case .answers:
      list.linear("qa_outputs", try config.labels(), width, bias: true)
    case .none, .pretraining: break
    }
  }
}
