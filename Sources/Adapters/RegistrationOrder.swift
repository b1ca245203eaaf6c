/// The order in which transformers' models register their modules: what adapters that number their
/// modules, or draw random numbers for one after the other, depend on and do not store.
enum RegistrationOrder {
  /// Siblings in the order of registration; siblings that no list names keep their natural order.
  private static let lists: [[String]] = [
    [
      "embed_tokens", "wte", "wpe", "embeddings", "encoder", "decoder", "layers", "h", "layer",
      "norm", "ln_f", "pooler",
    ],
    ["model", "transformer", "bert", "roberta", "vit", "score", "classifier", "lm_head"],
    ["self_attn", "encoder_attn", "block_sparse_moe", "mlp"],
    ["ln_1", "attn", "ln_2", "mlp"],
    ["attention", "intermediate", "output"],
    ["self", "output"],
    ["q_proj", "k_proj", "v_proj", "o_proj", "out_proj"],
    ["k_proj", "v_proj", "q_proj"],
    ["query", "key", "value", "dense"],
    ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    ["c_attn", "c_proj"],
    ["c_fc", "c_proj"],
    ["gate", "experts"],
    ["gate_proj", "up_proj", "down_proj"],
    ["w1", "w2", "w3"],
    ["q", "k", "v", "o"],
    ["fc1", "fc2"],
    ["wi", "wi_0", "wi_1", "wo"],
  ]

  static func precedes(_ a: String, _ b: String) -> Bool {
    let left = a.split(separator: ".").map(String.init)
    let right = b.split(separator: ".").map(String.init)
    for (x, y) in zip(left, right) where x != y {
      for list in lists {
        if let m = list.firstIndex(of: x), let n = list.firstIndex(of: y) { return m < n }
      }
      return NaturalOrder.precedes(x, y)
    }
    return left.count < right.count
  }
}
