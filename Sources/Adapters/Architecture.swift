import Kernels

/// What is known of model families beyond their tensors' names and shapes.
public enum Architecture {
  /// Families whose linear layers are `Conv1D`, with weights stored `in × out`.
  private static let conv1D: Set<String> = [
    "gpt2", "openai-gpt", "decision_transformer", "imagegpt",
  ]

  private static let conv1DModules: Set<String> = ["c_attn", "c_proj", "c_fc", "q_attn"]

  /// Whether the module's weight is stored `in × out`; nil when the family is not known.
  static func storesTransposed(modelType: String?, module: String) -> Bool? {
    let isNamedSo = conv1DModules.contains(lastSegment(module))
    guard let modelType else {
      // A bare file: GPT-2's names are its own.
      return isNamedSo && module.split(separator: ".").contains("h") ? true : nil
    }
    if conv1D.contains(modelType) { return isNamedSo }
    return known.contains(modelType) ? false : nil
  }

  /// Families whose experts are stacked `experts × in × out` and say so (`is_transposed`); PEFT takes
  /// every other stack as `experts × out × in`.
  private static let transposedExperts: Set<String> = [
    "gpt_oss", "aria", "aria_text", "openai_privacy_filter",
  ]

  /// Families of which older checkpoints have their stacks the other way round, and are turned when
  /// they are loaded.
  static func turnsExperts(modelType: String?) -> Bool {
    modelType == "qwen3_vl_moe" || modelType == "qwen3_vl_moe_text"
  }

  static func storesExpertsTransposed(modelType: String?) -> Bool {
    modelType.map(transposedExperts.contains) ?? false
  }

  /// Families that are known to have no `Conv1D`.
  private static let known: Set<String> = [
    "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2",
    "gemma3", "gemma3_text", "phi", "phi3", "opt", "bloom", "falcon", "gpt_neox", "gpt_bigcode",
    "gptj", "gpt_neo", "mpt", "bert", "roberta", "xlm-roberta", "distilbert", "electra", "deberta",
    "deberta-v2", "albert", "t5", "mt5", "bart", "vit", "deit", "beit", "dinov2", "swin", "clip",
    "siglip", "whisper", "cohere", "olmo", "olmo2", "starcoder2", "stablelm", "granite",
  ]

  /// Families whose configuration ties input and output embeddings when it does not say.
  private static let tied: Set<String> = [
    "gpt2", "gemma", "gemma2", "gemma3", "gemma3_text", "bert", "roberta", "xlm-roberta",
    "distilbert", "electra", "albert", "opt", "bloom", "gpt_neo", "gpt_bigcode", "t5", "mt5",
    "bart", "cohere", "mpt",
  ]

  static func tiesByDefault(_ modelType: String?) -> Bool {
    modelType.map(tied.contains) ?? false
  }

  /// Names of modules that are tables of `tokens × dim`.
  private static let embeddings: Set<String> = [
    "embed_tokens", "wte", "wpe", "word_embeddings", "position_embeddings",
    "token_type_embeddings", "embed_positions", "embed_in", "tok_embeddings", "shared",
    "token_embedding", "position_embedding",
  ]

  /// Whether `module` is named as a table of embeddings.
  public static func isEmbedding(module: String) -> Bool {
    embeddings.contains(lastSegment(module))
  }

  /// Names that output heads tied to the input embedding have.
  static let outputHeads = ["lm_head", "embed_out", "output", "decoder"]

  /// Names that input embeddings have, the most common first.
  static let inputEmbeddings = [
    "embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "shared",
  ]

  /// Whether `module` is named as an output head: of a language model, or of a classifier that PEFT
  /// trains whole for its task types.
  public static func isHead(module: String) -> Bool {
    ["lm_head", "embed_out", "score", "classifier", "qa_outputs"].contains(lastSegment(module))
  }

  /// Whether `module` is named as a table of input embeddings.
  public static func isInputEmbedding(module: String) -> Bool {
    inputEmbeddings.contains(lastSegment(module))
  }

  /// Parameters of expert modules in the order in which transformers registers them.
  static let expertParameterOrder = [
    "gate_up_proj", "gate_up_proj_bias", "w1", "down_proj", "down_proj_bias", "w2", "w3",
  ]

  static func lastSegment(_ path: String) -> String {
    path.split(separator: ".").last.map(String.init) ?? path
  }
}
