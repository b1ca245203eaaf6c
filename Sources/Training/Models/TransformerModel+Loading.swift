import Adapters
import Kernels
import Safetensors

extension TransformerModel {
  /// What a model is trained for.
  public enum Purpose: String, Sendable, CaseIterable {
    case causalLM = "causal-lm"
    case classify
    case imageClassify = "image-classify"
  }

  /// Loads the model of a folder by its `config.json`.
  ///
  /// - Parameters:
  ///   - purpose: nil: what the configuration's `architectures` say, or what the family is for.
  ///   - pooling: what a classifier of texts looks at; nil: as the family has it.
  ///   - quantization: how the frozen weights of linear layers are held, the head's excepted; nil: as they
  ///     are stored. A checkpoint that is quantized stays so.
  ///   - seed: for a head that the checkpoint does not have.
  public static func load(
    _ base: BaseModel, purpose: Purpose? = nil, pooling: ModelInput.Pooling? = nil,
    quantization: QuantizationScheme? = nil,
    context: LayerContext, seed: UInt64 = 0
  ) throws(ModelError) -> TransformerModel {
    guard let json = base.config else {
      throw .missingConfiguration(path: base.checkpoint.folder)
    }
    let configuration = ModelConfiguration(json)
    let build = try family(of: base)
    let loader = WeightLoader(
      try FrozenWeights(base, quantization: quantization), prefix: build.prefix, seed: seed,
      deviation: try configuration.real("initializer_range") ?? 0.02)
    let purpose = try self.purpose(of: base, stated: purpose)
    guard pooling == nil || purpose == .classify else {
      throw .setting(name: "pooling", reason: "is for classifiers of texts")
    }
    return try build.load(
      configuration, from: loader, purpose: purpose, pooling: pooling, context: context)
  }

  /// What the model is trained for: as stated, as its configuration says, or what its family is for.
  static func purpose(
    of base: BaseModel, stated: Purpose?
  ) throws(ModelError) -> Purpose {
    let configuration = ModelConfiguration(base.config ?? JSONObject())
    let named = Purpose(architectures: try configuration.texts("architectures"))
    if let purpose = stated ?? named { return purpose }
    return try family(of: base).purpose
  }

  private static func family(of base: BaseModel) throws(ModelError) -> Family.Type {
    switch base.modelType {
    case "llama", "mistral", "qwen2", "qwen3": LlamaFamily.self
    case "gpt2": GPT2.self
    case "bert": BERT.self
    case "vit": ViT.self
    default: throw .unsupportedModel(type: base.modelType)
    }
  }
}

extension TransformerModel.Purpose {
  fileprivate init?(architectures: [String]?) {
    guard let name = architectures?.first else { return nil }
    if name.hasSuffix("ForCausalLM") || name.hasSuffix("LMHeadModel") {
      self = .causalLM
    } else if name.hasSuffix("ForSequenceClassification") {
      self = .classify
    } else if name.hasSuffix("ForImageClassification") {
      self = .imageClassify
    } else {
      return nil
    }
  }
}

/// A family of models: how its settings and tensors make a transformer.
protocol Family {
  /// The first part of the tensors' names, which models without a head leave out.
  static var prefix: String { get }
  /// What the family is for.
  static var purpose: TransformerModel.Purpose { get }

  static func load(
    _ configuration: ModelConfiguration, from loader: WeightLoader,
    purpose: TransformerModel.Purpose, pooling: ModelInput.Pooling?, context: LayerContext
  ) throws(ModelError) -> TransformerModel
}

extension Family {
  /// The head of a decoder: the vocabulary, or classes, by default from the last token.
  static func decoderHead(
    _ configuration: ModelConfiguration, from loader: WeightLoader,
    purpose: TransformerModel.Purpose, pooling: ModelInput.Pooling?, norm: Normalization,
    embedding: BaseTensor, tied: Bool
  ) throws(ModelError) -> (head: Head, task: TransformerModel.Task) {
    let width = norm.width
    switch purpose {
    case .causalLM:
      let isTied = try configuration.bool("tie_word_embeddings") ?? tied
      let output =
        isTied
        ? Linear(path: "lm_head", weight: embedding, bias: nil)
        : try loader.linear("lm_head", embedding.matrix.rows, width)
      return (Head(norm: norm, output: output), .languageModel)
    case .classify:
      let output = try loader.head("score", try configuration.labels(), width, bias: false)
      return (Head(norm: norm, output: output), .classifier(pooling ?? .last))
    case .imageClassify:
      throw .setting(name: "task", reason: "this model reads text")
    }
  }
}
