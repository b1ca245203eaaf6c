/// How a family's module names in memory derive from the names in its checkpoint.
///
/// Newer versions of transformers rename modules when they load a checkpoint, and adapters are saved
/// with the names in memory. A scheme turns checkpoint names into those.
struct NameScheme: Sendable {
  let name: String
  /// `model_type` values that use the scheme.
  let modelTypes: Set<String>
  /// Replacements of runs of whole segments, applied one after the other. A pattern that begins with
  /// `^` is tried at the start of the path only; `#` stands for a number, kept as it is.
  private let rules: [(from: [String], to: [String])]

  init(_ name: String, modelTypes: Set<String> = [], rules: [(String, String)]) {
    self.name = name
    self.modelTypes = modelTypes
    self.rules = rules.map { rule in
      (
        from: rule.0.split(separator: ".").map(String.init),
        to: rule.1.split(separator: ".").map(String.init)
      )
    }
  }

  /// The name in memory of the checkpoint's `path`.
  func inMemory(_ path: String) -> String {
    guard !rules.isEmpty else { return path }
    var segments = path.split(separator: ".").map(String.init)
    for rule in rules { Self.apply(rule, to: &segments) }
    return segments.joined(separator: ".")
  }

  private static func apply(_ rule: (from: [String], to: [String]), to segments: inout [String]) {
    let anchored = rule.from.first == "^"
    let pattern = anchored ? Array(rule.from.dropFirst()) : rule.from
    guard segments.count >= pattern.count else { return }
    let starts = anchored ? 0...0 : 0...(segments.count - pattern.count)
    for start in starts {
      let run = segments[start..<start + pattern.count]
      guard zip(pattern, run).allSatisfy({ $0 == $1 || ($0 == "#" && Int($1) != nil) }) else {
        continue
      }
      var numbers = run.filter { Int($0) != nil }[...]
      let replacement = rule.to.map { $0 == "#" ? numbers.popFirst() ?? $0 : $0 }
      segments.replaceSubrange(start..<start + pattern.count, with: replacement)
      return
    }
  }

  /// Every scheme; the identity is the first.
  static let all: [NameScheme] = [
    NameScheme("names as in the checkpoint", rules: []),
    NameScheme(
      "vision transformers",
      modelTypes: [
        "vit", "deit", "beit", "audio-spectrogram-transformer", "ijepa", "vit_mae", "vit_msn",
        "vivit",
      ],
      rules: [
        ("encoder.layer", "layers"),
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
      ]),
    NameScheme(
      "DINOv2 and LW-DETR",
      modelTypes: ["dinov2", "dinov2_with_registers", "lw_detr"],
      rules: [
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("mlp.weights_out", "mlp.down_proj"),
      ]),
    NameScheme(
      "Swin", modelTypes: ["swin"],
      rules: [
        ("attention.self.query", "attention.q_proj"),
        ("attention.self.key", "attention.k_proj"),
        ("attention.self.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
      ]),
    NameScheme(
      "SegFormer", modelTypes: ["segformer"],
      rules: [
        ("encoder.patch_embeddings.#", "stages.#.patch_embeddings"),
        ("encoder.block.#", "stages.#.blocks"),
        ("encoder.layer_norm.#", "stages.#.layer_norm"),
        ("attention.self.query", "attention.q_proj"),
        ("attention.self.key", "attention.k_proj"),
        ("attention.self.value", "attention.v_proj"),
        ("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
        ("attention.self.layer_norm", "attention.sequence_reduction.layer_norm"),
        ("attention.output.dense", "attention.o_proj"),
        ("mlp.dense1", "mlp.fc1"),
        ("mlp.dense2", "mlp.fc2"),
        ("layer_norm_1", "layernorm_before"),
        ("layer_norm_2", "layernorm_after"),
      ]),
    NameScheme(
      "Mixtral's experts", modelTypes: ["mixtral", "minimax", "minimax_m2"],
      rules: [("block_sparse_moe", "mlp")]),
    NameScheme(
      "Granite's experts", modelTypes: ["granitemoe", "granitemoeshared", "granitemoehybrid"],
      rules: [
        ("block_sparse_moe.input_linear", "block_sparse_moe.experts.gate_up_proj"),
        ("block_sparse_moe.output_linear", "block_sparse_moe.experts.down_proj"),
        ("block_sparse_moe.router.layer", "block_sparse_moe.router"),
      ]),
    NameScheme(
      "LLaVA's towers",
      modelTypes: [
        "llava", "llava_next", "llava_next_video", "llava_onevision", "aria", "paligemma",
        "aya_vision", "got_ocr2", "gemma3", "internvl", "vipllava", "mistral3", "fuyu", "mllama",
        "video_llava",
      ],
      rules: [
        ("^.language_model.lm_head", "lm_head"),
        ("^.language_model.model", "model.language_model"),
        ("^.language_model", "model.language_model"),
        ("^.vision_tower", "model.vision_tower"),
        ("^.vision_model", "model.vision_model"),
        ("^.image_tower", "model.image_tower"),
        ("^.video_tower", "model.video_tower"),
        ("^.vision_embed_tokens", "model.vision_embed_tokens"),
        ("^.multi_modal_projector", "model.multi_modal_projector"),
      ]),
    NameScheme(
      "Qwen-VL", modelTypes: ["qwen2_vl", "qwen2_5_vl"],
      rules: [
        ("^.visual", "model.visual"),
        ("^.model.layers", "model.language_model.layers"),
        ("^.model.embed_tokens", "model.language_model.embed_tokens"),
        ("^.model.norm", "model.language_model.norm"),
      ]),
    NameScheme("GPT-NeoX", modelTypes: ["gpt_neox"], rules: [("^.embed_out", "lm_head")]),
  ]

  /// The schemes in the order in which they are tried for a model of `modelType`.
  static func candidates(modelType: String?) -> [NameScheme] {
    guard let modelType else { return all }
    let own = all.filter { $0.modelTypes.contains(modelType) }
    let others = all.dropFirst().filter { !$0.modelTypes.contains(modelType) }
    return [all[0]] + own + others
  }
}
