/// The modules that PEFT targets where a configuration names none, by architecture (peft 0.21.2,
/// `utils/constants.py`).
enum DefaultTargets {
  /// The tables of PEFT: most types share one, some have entries or a table of their own.
  enum Table: Sendable {
    case lora, adalora, vblora, ia3, beft, norms, osf, fourier, wavelet, vera, shira
    /// No table: every layer of the kind that the method is made for.
    case none
    /// Every parameter of the model.
    case everything
  }

  /// Names, or a regular expression, for `modelType`; nil where the table has none.
  static func targets(_ table: Table, modelType: String) -> TargetSelection? {
    switch table {
    case .none, .everything: nil
    case .lora: selection(lora[modelType])
    case .adalora: selection(adalora[modelType])
    case .vblora: selection(vblora[modelType])
    case .ia3: selection(ia3[modelType])
    case .beft: selection(beft[modelType])
    case .norms: selection(norms[modelType])
    case .osf: selection(osf[modelType])
    case .fourier:
      ["gpt2", "gpt_bigcode"].contains(modelType)
        ? .names(["mlp.c_proj"]) : selection(lora[modelType])
    case .wavelet:
      modelType == "btlm" ? nil : targets(.fourier, modelType: modelType)
    case .vera, .shira:
      modelType == "phi" ? .names(["q_proj", "v_proj"]) : selection(lora[modelType])
    }
  }

  /// The modules of IA3 whose input is scaled instead of their output: names that end so.
  static func feedforward(modelType: String?) -> [String] {
    switch modelType {
    case "t5": ["wo"]
    case "gpt2", "gpt_bigcode": ["mlp.c_proj"]
    case "bloom": ["mlp.dense_4h_to_h"]
    case "bert", "roberta", "deberta", "deberta-v2": ["output.dense"]
    case "opt", "bart", "phi": ["fc2"]
    case "gptj": ["fc_out"]
    case "gpt_neo": ["c_proj"]
    case "gpt_neox", "falcon", "RefinedWeb", "RefinedWebModel": ["dense_4h_to_h"]
    case "mixtral": ["w2"]
    case "llama", "llama4", "mistral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3":
      ["down_proj"]
    default: []
    }
  }

  private static func selection(_ text: String?) -> TargetSelection? {
    guard let text else { return nil }
    return text.contains("*") ? .pattern(text) : .names(text.split(separator: ",").map(String.init))
  }

  private static let gemma4 = ".*language_model\\..*\\.(q_proj|v_proj)"

  private static let lora: [String: String] = [
    "t5": "q,v", "mt5": "q,v", "bart": "q_proj,v_proj", "gpt2": "c_attn",
    "bloom": "query_key_value", "blip-2": "q,v,q_proj,v_proj", "opt": "q_proj,v_proj",
    "gptj": "q_proj,v_proj", "gpt_neox": "query_key_value", "gpt_neo": "q_proj,v_proj",
    "bert": "query,value", "roberta": "query,value", "xlm-roberta": "query,value",
    "electra": "query,value", "deberta-v2": "query_proj,value_proj", "deberta": "in_proj",
    "layoutlm": "query,value", "llama": "q_proj,v_proj", "llama4": "q_proj,v_proj",
    "chatglm": "query_key_value", "gpt_bigcode": "c_attn", "mpt": "Wqkv",
    "RefinedWebModel": "query_key_value", "RefinedWeb": "query_key_value",
    "falcon": "query_key_value", "btlm": "c_proj,c_attn", "codegen": "qkv_proj",
    "mistral": "q_proj,v_proj", "mixtral": "q_proj,v_proj", "stablelm": "q_proj,v_proj",
    "phi": "q_proj,v_proj,fc1,fc2", "gemma": "q_proj,v_proj", "gemma2": "q_proj,v_proj",
    "gemma3_text": "q_proj,v_proj", "gemma4": gemma4, "qwen2": "q_proj,v_proj",
    "qwen3": "q_proj,v_proj", "nemotron_h": "q_proj,k_proj,v_proj,o_proj",
    "rwkv": "key,value,receptance,output", "rwkv7": "r_proj,k_proj,v_proj,o_proj,key,value",
  ]

  private static let adalora: [String: String] = [
    "t5": "q,k,v,o,wi,wo", "mt5": "q,k,v,o,wi_0,wi_1,wo",
    "bart": "q_proj,k_proj,v_proj,out_proj,fc1,fc2", "gpt2": "c_attn",
    "bloom": "query_key_value", "opt": "q_proj,k_proj,v_proj,out_proj,fc1,fc2",
    "gptj": "q_proj,v_proj", "gpt_neox": "query_key_value", "gpt_neo": "q_proj,v_proj",
    "llama": "q_proj,v_proj", "llama4": "q_proj,v_proj", "bert": "query,value",
    "roberta": "query,key,value,dense", "deberta-v2": "query_proj,key_proj,value_proj,dense",
    "gpt_bigcode": "c_attn", "deberta": "in_proj", "gemma": "q_proj,v_proj",
    "gemma2": "q_proj,v_proj", "gemma3_text": "q_proj,v_proj", "gemma4": gemma4,
    "qwen2": "q_proj,v_proj", "qwen3": "q_proj,v_proj",
    "nemotron_h": "q_proj,k_proj,v_proj,o_proj",
  ]

  private static let vblora = adalora.merging(["roberta": "query,value"]) { $1 }

  private static let ia3: [String: String] = [
    "t5": "k,v,wo", "mt5": "k,v,wi_1", "gpt2": "c_attn,mlp.c_proj",
    "bloom": "query_key_value,mlp.dense_4h_to_h", "roberta": "key,value,output.dense",
    "opt": "q_proj,k_proj,fc2", "gptj": "q_proj,v_proj,fc_out",
    "gpt_neox": "query_key_value,dense_4h_to_h", "gpt_neo": "q_proj,v_proj,c_proj",
    "bart": "q_proj,v_proj,fc2", "gpt_bigcode": "c_attn,mlp.c_proj",
    "llama": "k_proj,v_proj,down_proj", "llama4": "q_proj,v_proj,down_proj",
    "mistral": "k_proj,v_proj,down_proj", "mixtral": "k_proj,v_proj,w2",
    "bert": "key,value,output.dense", "deberta-v2": "key_proj,value_proj,output.dense",
    "deberta": "in_proj,output.dense", "RefinedWebModel": "query_key_value,dense_4h_to_h",
    "RefinedWeb": "query_key_value,dense_4h_to_h", "falcon": "query_key_value,dense_4h_to_h",
    "phi": "q_proj,v_proj,fc2", "gemma": "q_proj,v_proj,down_proj",
    "gemma2": "q_proj,v_proj,down_proj", "gemma3_text": "q_proj,v_proj,down_proj",
    "qwen2": "q_proj,v_proj,down_proj", "qwen3": "q_proj,v_proj,down_proj",
  ]

  private static let beft: [String: String] = [
    "t5": "v", "mt5": "v", "roberta": "value", "opt": "v_proj", "gptj": "v_proj",
    "gpt_neo": "v_proj", "bart": "v_proj", "llama": "v_proj", "llama4": "v_proj",
    "mistral": "v_proj", "mixtral": "v_proj", "bert": "value", "deberta-v2": "value_proj",
    "phi": "v_proj", "gemma": "v_proj", "gemma2": "v_proj", "gemma3_text": "v_proj",
    "qwen2": "v_proj", "qwen3": "v_proj",
  ]

  private static let norms: [String: String] = [
    "llama": "input_layernorm,post_attention_layernorm,norm",
    "bloom": "input_layernorm,post_attention_layernorm,ln_f",
    "t5": "layer_norm,final_layer_norm", "mt5": "layer_norm,final_layer_norm",
    "bart": "self_attn_layer_norm,encoder_attn_layer_norm,final_layer_norm",
    "gpt2": "ln_1,ln_2,ln_f",
    "blip-2": "layernorm,LayerNorm,final_layer_norm,self_attn_layer_norm",
    "gptj": "ln_1,ln_f", "falcon": "input_layernorm,post_attention_layernorm,ln_f",
    "mistral": "input_layernorm,post_attention_layernorm,norm",
    "phi": "input_layernorm,final_layernorm",
    "gemma": "input_layernorm,post_attention_layernorm,norm", "gemma2": gemma2Norms,
    "gemma3_text": gemma2Norms, "qwen2": "post_attention_layernorm",
    "qwen3": "post_attention_layernorm",
  ]

  private static let gemma2Norms =
    "input_layernorm,post_attention_layernorm,pre_feedforward_layernorm,"
    + "post_feedforward_layernorm,norm"

  private static let osf: [String: String] = {
    let decoders = ["llama", "llama4", "mistral", "mixtral", "gemma", "gemma2", "gemma3_text"]
    var table = [
      "gpt2": "c_attn,c_proj", "bloom": "query_key_value,dense_4h_to_h",
      "opt": "q_proj,k_proj,v_proj,out_proj,fc1,fc2",
      "gptj": "q_proj,k_proj,v_proj,out_proj,fc_in,fc_out",
      "gpt_neox": "query_key_value,dense_4h_to_h", "falcon": "query_key_value,dense_4h_to_h",
      "gpt_bigcode": "c_attn,c_proj",
    ]
    for decoder in decoders + ["qwen2", "qwen3", "phi"] {
      table[decoder] = "q_proj,k_proj,v_proj,o_proj,gate_proj,down_proj,up_proj"
    }
    return table
  }()
}
