import Kernels
import Safetensors

/// The weights of a model's linear layers, as transformers' integration of bitsandbytes sees them:
/// those of modules whose class is `nn.Linear` or `Conv1D`, except the ones that it leaves alone.
///
/// A checkpoint does not say what a module is. What cannot be told by names and shapes is left out, and
/// listed, so that whoever writes the checkpoint can tell the loader.
public struct LinearWeights: Sendable {
  /// A layer that is quantized unless somebody asks for it not to be.
  public struct Layer: Sendable {
    public let tensor: BaseModel.Tensor
    /// The module's name in memory, which may differ from the one in the checkpoint.
    public let module: String
    /// The weight is stored `in × out` (`Conv1D`).
    public let storedTransposed: Bool

    /// Output features, input features.
    public var shape: [Int] { storedTransposed ? tensor.shape.reversed() : tensor.shape }
  }

  public let layers: [Layer]
  /// Linear modules that a loader leaves alone by itself: the output head, whether it is stored or tied
  /// to the embedding, and a last layer without a bias.
  public let automatic: [String]
  /// Modules with a matrix of which it is not certain what they are.
  public let doubtful: [String]
  /// Whether a loader that is told nothing converts exactly `layers`.
  public let isDefault: Bool

  public init(_ base: BaseModel) {
    let type = base.modelType
    let scheme = NameScheme.candidates(modelType: type).dropFirst().first.flatMap {
      $0.modelTypes.contains(type ?? "") ? $0 : nil
    }
    let isKnown = Architecture.loadsByDefault(type)
    var layers: [Layer] = []
    var heads: [String] = []
    var doubtful: [String] = []
    for tensor in base.tensors {
      guard tensor.shape.count == 2, !tensor.shape.contains(0), tensor.name.hasSuffix(".weight"),
        ElementType(tensor.dtype) != nil
      else { continue }
      let stored = String(tensor.name.dropLast(".weight".count))
      let module = scheme?.inMemory(stored) ?? stored
      switch Architecture.role(
        of: stored, shape: tensor.shape, in: base, isKnown: isKnown)
      {
      case .other: continue
      case .head: heads.append(module)
      case .doubtful: doubtful.append(module)
      case .linear:
        let transposed =
          Architecture.storesTransposed(modelType: type, module: stored) ?? false
        layers.append(Layer(tensor: tensor, module: module, storedTransposed: transposed))
      }
    }
    if base.tiesEmbeddings, !base.tensors.contains(where: \.isOutputHead) {
      heads.append(Architecture.tiedHead(type))
    }
    self.layers = layers
    automatic = heads
    self.doubtful = doubtful
    isDefault = isKnown && doubtful.isEmpty
  }
}

extension Architecture {
  /// What a matrix called `module.weight` belongs to.
  enum MatrixRole {
    /// `nn.Linear` or `Conv1D`.
    case linear
    /// A linear layer that bitsandbytes' integration leaves alone.
    case head
    /// A linear layer, an embedding, or something else.
    case doubtful
    /// Certainly no `nn.Linear`.
    case other
  }

  /// Families of which it is known that all matrices but those named here are `nn.Linear` or `Conv1D`,
  /// and which module comes last.
  private static let defaultFamilies: Set<String> = [
    "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2",
    "gemma3_text", "phi", "phi3", "opt", "bloom", "gpt2", "gpt_neox", "gptj", "gpt_neo", "bert",
    "roberta", "xlm-roberta", "distilbert", "electra", "t5", "mt5", "cohere", "olmo", "olmo2",
    "starcoder2", "stablelm", "granite", "vit",
  ]

  static func loadsByDefault(_ modelType: String?) -> Bool {
    modelType.map(defaultFamilies.contains) ?? false
  }

  /// Families whose linear layers are of a class of their own, which is not converted.
  private static let ownLinearClass: Set<String> = ["falcon"]

  /// Families that keep some linear layers in 32 bits, by their last name.
  private static let keptIn32Bits: [String: Set<String>] = [
    "t5": ["wo"], "mt5": ["wo"], "umt5": ["wo"], "pop2piano": ["wo"], "udop": ["wo"],
  ]

  /// Further embeddings, by the last name of their module.
  private static let furtherEmbeddings: Set<String> = [
    "relative_attention_bias", "rel_embeddings", "embeddings", "embedding", "distance_embedding",
  ]

  /// The output head that is tied to the input embedding.
  static func tiedHead(_ modelType: String?) -> String {
    switch modelType {
    case "bert", "deberta", "deberta-v2": "cls.predictions.decoder"
    case "roberta", "xlm-roberta": "lm_head.decoder"
    case "albert": "predictions.decoder"
    case "electra": "generator_lm_head"
    case "distilbert": "vocab_projector"
    case "whisper": "proj_out"
    default: "lm_head"
    }
  }

  private static let headNames: Set<String> = [
    "lm_head", "embed_out", "generator_lm_head", "vocab_projector",
  ]

  static func role(
    of module: String, shape: [Int], in base: BaseModel, isKnown: Bool
  ) -> MatrixRole {
    let segments = module.split(separator: ".").map(String.init)
    let last = segments.last ?? module
    if let type = base.modelType {
      if ownLinearClass.contains(type) { return .other }
      if keptIn32Bits[type]?.contains(last) ?? false { return .other }
    }
    if headNames.contains(last) || module == "proj_out" || module.hasSuffix("lm_head.decoder")
      || module.hasSuffix("predictions.decoder")
    {
      return .head
    }
    if isEmbedding(module: module) || furtherEmbeddings.contains(last) { return .other }
    // Experts are slices of three-dimensional parameters in memory; routers are parameters too.
    if segments.contains("experts") { return .other }
    let siblings = segments.dropLast().joined(separator: ".")
    let isRouter =
      ["gate", "router", "wg"].contains(last)
      || segments.dropLast().last == "router"
    if isRouter { return isKnown ? .other : .doubtful }
    // The output projection of nn.MultiheadAttention is of a subclass of nn.Linear.
    if last == "out_proj", base.contains(siblings + ".in_proj_weight") { return .other }
    // The last parameter of all: bitsandbytes' integration leaves its module alone.
    if last == "score", !base.contains(module + ".bias") { return .head }
    if last.contains("emb") { return .doubtful }
    if !isKnown, case .number(let vocabulary)? = base.config?["vocab_size"],
      shape.contains(vocabulary.int ?? -1)
    {
      return .doubtful
    }
    return .linear
  }
}
