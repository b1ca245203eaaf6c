/// Prompt tuning: trained rows before the input embeddings, `l × d`. No weight changes.
public struct PromptTuning: TrainableMethod {
  public static let descriptor = MethodDescriptor(
    title: "Prompt tuning", names: ["prompt"], peftTypes: ["PROMPT_TUNING"],
    source: "Lester et al. 2021 (2104.08691), section 2", leaves: ["prompt_embeddings"],
    settings: ["num_virtual_tokens", "token_dim", "num_transformer_submodules"],
    trainingSettings: [
      "num_attention_heads", "num_layers", "prompt_tuning_init", "prompt_tuning_init_text",
      "tokenizer_name_or_path", "tokenizer_kwargs",
    ],
    notMergeable: "a prompt is extra input, not a change of weights")

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let found = try shapes.required("prompt_embeddings", dimensions: 2)
    if settings["num_virtual_tokens"] != nil, settings["token_dim"] != nil {
      try shapes.expect("prompt_embeddings", try shape(settings))
    }
    return ModuleSummary(
      trainableParameters: found[0] * found[1], changesWeight: false,
      notMergeable: descriptor.notMergeable)
  }

  private static func shape(_ settings: MethodSettings) throws(MethodError) -> [Int] {
    guard let dim = try settings.integer("token_dim") else {
      throw .setting(name: "token_dim", reason: "is missing")
    }
    return [
      try settings.positive("num_virtual_tokens", default: 20)
        * settings.positive("num_transformer_submodules", default: 1), dim,
    ]
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: nil)
  }

  public func weightUpdate() throws(MethodError) -> (any WeightUpdate)? {
    throw .notMergeable(reason: Self.descriptor.notMergeable ?? "")
  }

  // MARK: Training

  /// The prompt, which belongs to no layer.
  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    [MethodTensor("prompt_embeddings", try shape(settings))]
  }

  /// Normal numbers, as a new embedding.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    let shape = try shape(start.settings)
    return [
      "prompt_embeddings": AdapterTensor(shape: shape, generator.normal(shape[0] * shape[1]))
    ]
  }

  /// Writes the prompt before each sequence's embeddings.
  ///
  /// - Parameters:
  ///   - embeddings: `sequences·tokens × d`.
  ///   - output: `sequences·(l + tokens) × d`.
  public static func forward<Scalar: TrainingScalar>(
    prompt: MatrixView<Scalar>, embeddings: MatrixView<Scalar>, sequences: Int,
    output: MatrixView<Scalar>
  ) {
    let tokens = embeddings.rows / sequences
    let length = prompt.rows + tokens
    for sequence in 0..<sequences {
      let start = sequence * length
      output.rows(start..<start + prompt.rows).copy(prompt)
      output.rows(start + prompt.rows..<start + length).copy(
        embeddings.rows(sequence * tokens..<(sequence + 1) * tokens))
    }
  }

  /// Adds the gradients at the prompt's places, over all sequences, to `promptGradient`.
  public static func backward<Scalar: TrainingScalar>(
    outputGradient: MatrixView<Scalar>, sequences: Int, promptGradient: MatrixView<Scalar>
  ) {
    let length = outputGradient.rows / sequences
    for sequence in 0..<sequences {
      for row in 0..<promptGradient.rows {
        Scalar.add(
          outputGradient[sequence * length + row], times: 1, to: promptGradient[row])
      }
    }
  }
}
