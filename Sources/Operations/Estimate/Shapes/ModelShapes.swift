import Kernels

/// A base model as far as sizes go: its layers, and what is known of its architecture.
public struct ModelShapes: Sendable, Equatable {
  /// In the order in which the model registers them, or in that of the file.
  public var layers: [ModelLayer]
  /// What `config.json` says; nil where it is absent or of an unknown architecture.
  public var facts: ArchitectureFacts?
  /// `model_type` of `config.json`.
  public var modelType: String?
  /// Modules of the weights that quantization takes (`LinearWeights`); nil where only `config.json` is
  /// known.
  public var quantizable: Set<String>?

  public init(layers: [ModelLayer], facts: ArchitectureFacts? = nil, modelType: String? = nil) {
    self.layers = layers
    self.facts = facts
    self.modelType = modelType ?? facts?.modelType
  }

  /// All parameters, one tensor that two layers share once; of quantized tensors the logical count.
  public var parameterCount: Int { layers.reduce(0) { $0 + $1.parameterCount } }

  /// Parameters of normalisations, weights and biases.
  public var normParameterCount: Int {
    layers.reduce(0) { $0 + ($1.geometry.kind == .normalization ? $1.parameterCount : 0) }
  }
}

/// What a forward pass of an architecture works with, beyond the shapes of its weights.
public struct ArchitectureFacts: Sendable, Equatable {
  /// How many tokens a sample has.
  public enum Tokens: Sendable, Equatable {
    /// As many as the text has, at most this number.
    case text(maximum: Int)
    /// Patches of an image and class token.
    case image(Int)
  }

  public var modelType: String
  /// Width of the residual stream.
  public var width: Int
  /// Layers that hold key and value: of the decoder, where there is an encoder too.
  public var attentionLayers: Int
  public var heads: Int
  /// Width of keys, and of values: heads of the keys times their size.
  public var keyValueWidth: Int
  public var tokens: Tokens
  /// Logits of a token, where the model predicts tokens; otherwise 0.
  public var vocabulary: Int
  /// Encoder and decoder count as one each.
  public var submodules: Int
  public var blocks: [Block]

  /// A transformer block.
  public struct Block: Sendable, Equatable {
    public var width: Int
    /// Matrices of this width that training keeps: the inputs of the norms, one of which is the block's
    /// output, and after a norm at the end its output too.
    public var keptStreams: Int
    /// Self-attention, and attention to an encoder.
    public var attentions: Int
    public var heads: Int
    /// Width of the queries: heads times their size.
    public var queryWidth: Int
    public var keyValueWidth: Int
    /// Width of the hidden layer of the MLP.
    public var hidden: Int
    /// Two matrices make the hidden layer, one gating the other.
    public var isGated: Bool
    /// Experts that a token goes through.
    public var activeExperts: Int
    /// Each head of queries and keys is normalised.
    public var normalizesHeads: Bool

    public init(
      width: Int, keptStreams: Int = 2, attentions: Int = 1, heads: Int, queryWidth: Int,
      keyValueWidth: Int, hidden: Int, isGated: Bool, activeExperts: Int = 1,
      normalizesHeads: Bool = false
    ) {
      self.width = width
      self.keptStreams = keptStreams
      self.attentions = attentions
      self.heads = heads
      self.queryWidth = queryWidth
      self.keyValueWidth = keyValueWidth
      self.hidden = hidden
      self.isGated = isGated
      self.activeExperts = activeExperts
      self.normalizesHeads = normalizesHeads
    }
  }

  public init(
    modelType: String, width: Int, attentionLayers: Int, heads: Int, keyValueWidth: Int,
    tokens: Tokens, vocabulary: Int = 0, submodules: Int = 1, blocks: [Block]
  ) {
    self.modelType = modelType
    self.width = width
    self.attentionLayers = attentionLayers
    self.heads = heads
    self.keyValueWidth = keyValueWidth
    self.tokens = tokens
    self.vocabulary = vocabulary
    self.submodules = submodules
    self.blocks = blocks
  }
}
