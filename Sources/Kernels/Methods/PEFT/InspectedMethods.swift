/// A method whose adapters can be listed and counted, and not be merged. Its descriptor says why.
protocol InspectedMethod: AdapterMethod {
  init()
}

extension InspectedMethod {
  /// Counts the tensors of the module, all but those that are not trained.
  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let trained = shapes.filter {
      !(descriptor.frozenLeaves + descriptor.ignoredLeaves).contains($0.key)
    }
    return ModuleSummary(
      trainableParameters: trained.elements(of: trained.keys), changesWeight: false,
      notMergeable: descriptor.notMergeable)
  }

  public init(_ module: AdapterModule) throws(MethodError) { self.init() }

  public func weightUpdate() throws(MethodError) -> (any WeightUpdate)? {
    throw .notMergeable(reason: Self.descriptor.notMergeable ?? "")
  }
}

/// What the configurations of prompt methods have in common.
private let promptSettings = [
  "num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_attention_heads",
  "num_layers",
]

/// AdaMSS: low-rank changes of clusters of rows. Source: PEFT.
public struct AdaMSS: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "AdaMSS", names: ["adamss"], peftTypes: ["ADAMSS"], source: "PEFT, AdaMSS",
    leaves: ["adamss_A.", "adamss_B."], frozenLeaves: ["adamss_newB"], settings: [],
    trainingSettings: [
      "r", "num_subspaces", "subspace_rank", "init_weights", "use_asa", "asa_target_subspaces",
      "init_warmup", "final_warmup", "mask_interval", "asa_importance_beta",
      "asa_uncertainty_beta", "asa_schedule_exponent", "use_dynamic_rank", "svd_threshold",
      "random_seed",
    ],
    notMergeable: "which rows belong together is clustered anew at every load, and not stored")
}

/// Adaption prompts: gated extra attention. Source: Zhang et al. 2023 (2303.16199).
public struct AdaptionPrompt: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "Adaption prompt", names: ["adaption_prompt"], peftTypes: ["ADAPTION_PROMPT"],
    source: "Zhang et al. 2023 (2303.16199)", leaves: ["adaption_prompt", "adaption_gate"],
    settings: [], trainingSettings: ["adapter_len", "adapter_layers"],
    notMergeable: "an adaption prompt is extra attention, not a change of weights")
}

/// Cartridges: trained keys and values. Source: PEFT.
public struct Cartridge: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "Cartridge", names: ["cartridge"], peftTypes: ["CARTRIDGE"], source: "PEFT, Cartridge",
    leaves: ["prompt_embeddings"], settings: [],
    trainingSettings: promptSettings + ["num_frozen_tokens"],
    notMergeable: "a cartridge is extra keys and values, not a change of weights")
}

/// Context-aware prompt tuning. Source: Blau et al. 2024 (2410.17222).
public struct ContextPromptTuning: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "CPT", names: ["cpt"], peftTypes: ["CPT"], source: "Blau et al. 2024 (2410.17222)",
    leaves: ["prompt_embeddings"], settings: [],
    trainingSettings: promptSettings + [
      "cpt_token_ids", "cpt_mask", "cpt_tokens_type_mask", "opt_weighted_loss_type",
      "opt_loss_decay_factor", "opt_projection_epsilon", "opt_projection_format_epsilon",
      "tokenizer_name_or_path",
    ],
    notMergeable: "a prompt is extra input, not a change of weights")
}

/// LILY: shared factors behind a router. Source: arXiv 2407.09946.
public struct Lily: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "LILY", names: ["lily"], peftTypes: ["LILY"], source: "arXiv 2407.09946",
    leaves: ["lily_A.weight", "lily_B.weight", "lily_router.weight"], settings: [],
    trainingSettings: ["r", "stride_A", "num_B", "scaling", "init_weights"],
    notMergeable: "a router mixes the changes for every input")
}

/// Multitask prompt tuning. Source: Wang et al. 2023 (2303.02861).
public struct MultitaskPromptTuning: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "Multitask prompt tuning", names: ["multitask_prompt_tuning"],
    peftTypes: ["MULTITASK_PROMPT_TUNING"], source: "Wang et al. 2023 (2303.02861)",
    leaves: ["prompt_embeddings", "prefix_task_cols", "prefix_task_rows"], settings: [],
    trainingSettings: promptSettings + [
      "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path",
      "tokenizer_kwargs", "prompt_tuning_init_state_dict_path", "prompt_tuning_init_task",
      "num_ranks", "num_tasks",
    ],
    notMergeable: "a prompt is extra input, not a change of weights")
}

/// PSOFT: a rotation between the singular vectors of the base. Source: PEFT.
public struct PSOFT: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "PSOFT", names: ["psoft"], peftTypes: ["PSOFT"], source: "PEFT, PSOFT",
    leaves: ["psoft_R.weight", "psoft_R.vector_a", "psoft_R.vector_b"], settings: [],
    trainingSettings: [
      "r", "psoft_alpha", "psoft_dropout", "ab_svd_init", "psoft_svd", "psoft_svd_lowrank_niter",
      "random_seed", "psoft_orth", "psoft_mag_b", "psoft_mag_a", "use_cayley_neumann",
      "num_cayley_neumann_terms", "cayley_neumann_eps", "init_weights", "fan_in_fan_out",
    ],
    notMergeable: """
      it rotates between singular vectors of the base whose signs are not stored and differ from one \
      linear algebra library to the next
      """)
}

/// P-tuning. Source: Liu et al. 2021 (2103.10385).
public struct PTuning: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "P-tuning", names: ["p_tuning"], peftTypes: ["P_TUNING"],
    source: "Liu et al. 2021 (2103.10385)", leaves: ["prompt_embeddings"], settings: [],
    trainingSettings: promptSettings + [
      "encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers",
      "encoder_dropout",
    ],
    notMergeable: "a prompt is extra input, not a change of weights")
}

/// Polytropon: skills mixed by task. Source: Ponti et al. 2022 (2202.13914).
public struct Poly: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "Poly", names: ["poly"], peftTypes: ["POLY"],
    source: "Ponti et al. 2022 (2202.13914)",
    leaves: ["poly_lora_A", "poly_lora_B", "poly_router.module_logits"], settings: [],
    trainingSettings: ["r", "init_weights", "poly_type", "n_tasks", "n_skills", "n_splits"],
    notMergeable: "a router mixes the changes for every task")
}

/// Shadow: a small network beside the model. Source: PEFT.
public struct Shadow: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "Shadow", names: ["shadow"], peftTypes: ["SHADOW"], source: "PEFT, ShadowPEFT",
    leaves: ["shadow_down.", "shadow_up.", "shadow_update_gate.", "shadow_update_transform."],
    sharedTensors: ["shadow_backbone.", "shadow_projection.", "shadow_head."],
    trainableShared: ["shadow_backbone.", "shadow_projection.", "shadow_head."], settings: [],
    trainingSettings: [
      "r", "shadow_alpha", "shadow_dropout", "init_weights", "shadow_model",
      "shadow_num_hidden_layers", "shadow_hidden_size", "shadow_num_attention_heads",
      "shadow_intermediate_size", "share_embeddings", "update_hidden_size",
      "auxiliary_loss_weight",
    ],
    notMergeable: "a second network runs beside the model")
}

/// X-LoRA: adapters mixed by a trained gate. Source: Buehler and Buehler 2024 (2402.07148).
public struct XLoRA: InspectedMethod {
  public static let descriptor = MethodDescriptor(
    title: "X-LoRA", names: ["xlora"], peftTypes: ["XLORA"],
    source: "Buehler and Buehler 2024 (2402.07148)", leaves: [],
    sharedTensors: ["internal_xlora_classifier."],
    trainableShared: ["internal_xlora_classifier."], settings: [],
    trainingSettings: [
      "hidden_size", "adapters", "enable_softmax", "enable_softmax_topk", "layerwise_scalings",
      "xlora_depth", "xlora_size", "xlora_dropout_p", "use_trainable_adapters",
      "softmax_temperature", "top_k_lora", "scaling_pass_value", "global_scaling_weight",
    ],
    notMergeable: "a gate mixes the adapters for every token")
}
