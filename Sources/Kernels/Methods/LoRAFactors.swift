import Foundation

/// The pair A, B that the methods of the LoRA family share, in the layouts that PEFT writes it in.
struct LoRAFactors {
  static let settings = [
    "r", "lora_alpha", "use_rslora", "use_dora", "lora_bias", "fan_in_fan_out",
    "init_lora_weights", "base_is_residual", "target_parameters", "alora_invocation_tokens",
    "use_qalora", "arrow_config",
  ]
  static let patterns = [
    SettingPattern(table: "rank_pattern", setting: "r"),
    SettingPattern(table: "alpha_pattern", setting: "lora_alpha"),
  ]
  static let trainingSettings = [
    "lora_dropout", "velora_config", "monteclora_config", "eva_config", "corda_config",
    "lora_ga_config", "loftq_config", "qalora_group_size", "megatron_config", "megatron_core",
    "runtime_config",
  ]

  let form: Form
  /// `rank × columns` of the update, row-major; for a stack of experts as stored.
  let a: [Float]
  /// `rows × rank` of the update, row-major; for a stack of experts as stored.
  let b: [Float]

  /// Where the factors sit, and their sizes.
  struct Form {
    enum Placement: Equatable {
      /// `lora_A.weight` (r, in…), `lora_B.weight` (out, r, 1…): linear layers and convolutions.
      case matrix
      /// `lora_embedding_A` (r, tokens), `lora_embedding_B` (dim, r): the change is `(B·A)ᵀ`.
      case embedding
      /// `lora_A.weight` (E·r, in), `lora_B.weight` (out, r·E): rows of A expert by expert, columns
      /// of B with the expert running fastest. `transposed`: each expert is stored `in × out`.
      case experts(Int, transposed: Bool)
    }

    var placement: Placement
    var rank: Int
    var inFeatures: Int
    var outFeatures: Int
    var scale: Double

    init(
      _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
    ) throws(MethodError) {
      if shapes["lora_embedding_A"] != nil {
        let a = try shapes.required("lora_embedding_A", dimensions: 2)
        let b = try shapes.required("lora_embedding_B", dimensions: 2)
        (placement, rank, inFeatures, outFeatures) = (.embedding, a[0], a[1], b[0])
        try shapes.expect("lora_embedding_B", [layer?.shape.last ?? b[0], rank])
        if let layer { try shapes.expect("lora_embedding_A", [rank, layer.shape.first ?? 0]) }
      } else if let layer, layer.kind == .parameter, layer.shape.count == 3 {
        self = try Form(experts: shapes, layer: layer)
      } else {
        let a = try shapes.required("lora_A.weight")
        let b = try shapes.required("lora_B.weight")
        guard a.count >= 2 else {
          throw .shape(leaf: "lora_A.weight", found: a, expected: "[r, in]")
        }
        (placement, rank) = (.matrix, a[0])
        inFeatures = layer?.inFeatures ?? a.dropFirst().reduce(1, *)
        outFeatures = layer?.outFeatures ?? b.first ?? 0
        var kernel = Array(a.dropFirst())
        if let layer {
          kernel = layer.kind == .convolution ? Array(layer.shape.dropFirst()) : [layer.inFeatures]
        }
        try shapes.expect("lora_A.weight", [rank] + kernel)
        try shapes.expect(
          "lora_B.weight", [outFeatures, rank] + [Int](repeating: 1, count: a.count - 2))
      }
      scale = try LoRAFactors.scale(rank: rank, settings: settings)
    }

    private init(experts shapes: [String: [Int]], layer: LayerGeometry) throws(MethodError) {
      let a = try shapes.required("lora_A.weight", dimensions: 2)
      let experts = layer.shape[0]
      guard experts > 0, a[0] % experts == 0 else {
        throw .shape(leaf: "lora_A.weight", found: a, expected: "a multiple of \(experts) rows")
      }
      // A square expert fits both ways; then the layer says how it is stored.
      let square = layer.shape[1] == layer.shape[2]
      let transposed = square ? layer.storedTransposed : a[1] != layer.shape[2]
      inFeatures = layer.shape[transposed ? 1 : 2]
      outFeatures = layer.shape[transposed ? 2 : 1]
      (placement, rank, scale) = (.experts(experts, transposed: transposed), a[0] / experts, 0)
      try shapes.expect("lora_A.weight", [a[0], inFeatures])
      try shapes.expect("lora_B.weight", [outFeatures, a[0]])
    }
  }

  init(_ module: AdapterModule) throws(MethodError) {
    form = try Form(module.shapes, settings: module.settings, layer: module.layer)
    switch form.placement {
    case .embedding:
      // (B·A)ᵀ = Aᵀ·Bᵀ
      let a = try module.tensor("lora_embedding_A").reals
      let b = try module.tensor("lora_embedding_B").reals
      self.a = transpose(b, rows: form.outFeatures, columns: form.rank)
      self.b = transpose(a, rows: form.rank, columns: form.inFeatures)
    case .matrix, .experts:
      a = try module.tensor("lora_A.weight").reals
      b = try module.tensor("lora_B.weight").reals
    }
  }

  /// `α/r`, with rsLoRA `α/√r`; r is the tensors' own.
  static func scale(rank: Int, settings: MethodSettings) throws(MethodError) -> Double {
    let alpha = try settings.real("lora_alpha") ?? 8
    guard rank > 0 else { return 0 }
    let root = try settings.bool("use_rslora") ?? false
    return alpha / (root ? Double(rank).squareRoot() : Double(rank))
  }

  /// Why an adapter with these settings cannot be merged; nil when it can.
  static func refusal(_ settings: MethodSettings) throws(MethodError) -> String? {
    if settings["alora_invocation_tokens"] != nil {
      return "an activated LoRA (alora_invocation_tokens) acts only after its invocation tokens"
    }
    if try settings.bool("use_qalora") ?? false {
      return "QALoRA (use_qalora) acts on groups of a quantized layer's inputs"
    }
    if settings["arrow_config"] != nil {
      return "Arrow (arrow_config) routes every token to its own mixture of adapters"
    }
    guard case .text(let start)? = settings["init_lora_weights"],
      try settings.bool("base_is_residual") != true
    else { return nil }
    switch start {
    case "pissa", "olora", "corda", "lora_ga", "loftq":
      return "init_lora_weights \(start) changed the base in training; the changed base is needed"
    case _ where start.hasPrefix("pissa_niter_"):
      return "init_lora_weights \(start) changed the base by a random SVD; the residual is needed"
    default:
      return nil
    }
  }

  // MARK: Updates

  func weightUpdate() -> any WeightUpdate {
    switch form.placement {
    case .matrix, .embedding:
      return LowRankUpdate(matrix)
    case .experts(let count, let transposed):
      return ExpertLowRankUpdate(
        experts: (0..<count).map {
          let factors = expert($0, of: count)
          return transposed ? factors.transposed() : factors
        })
    }
  }

  /// The factors of the change, in the orientation `out × in`; of an embedding `tokens × dim`.
  var matrix: LowRankFactors {
    let isEmbedding = form.placement == .embedding
    return LowRankFactors(
      rank: form.rank, rows: isEmbedding ? form.inFeatures : form.outFeatures,
      columns: isEmbedding ? form.outFeatures : form.inFeatures, b: b, a: a,
      scale: Float(form.scale))
  }

  /// Expert `index`: `A[index·r + k]` and `B[:, k·E + index]`.
  private func expert(_ index: Int, of count: Int) -> LowRankFactors {
    let (rank, columns) = (form.rank, form.inFeatures)
    var own: [Float] = []
    own.reserveCapacity(form.outFeatures * rank)
    for row in 0..<form.outFeatures {
      for k in 0..<rank { own.append(b[(row * rank + k) * count + index]) }
    }
    return LowRankFactors(
      rank: rank, rows: form.outFeatures, columns: columns, b: own,
      a: Array(a[index * rank * columns..<(index + 1) * rank * columns]), scale: Float(form.scale))
  }

  // MARK: New adapters

  static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    let rank = try settings.positive("r", default: 8)
    switch layer.kind {
    case .linear:
      return [
        MethodTensor("lora_A.weight", [rank, layer.inFeatures]),
        MethodTensor("lora_B.weight", [layer.outFeatures, rank]),
      ]
    case .embedding:
      return [
        MethodTensor("lora_embedding_A", [rank, layer.outFeatures]),
        MethodTensor("lora_embedding_B", [layer.inFeatures, rank]),
      ]
    case .convolution:
      let ones = [Int](repeating: 1, count: layer.shape.count - 2)
      return [
        MethodTensor("lora_A.weight", [rank] + layer.shape.dropFirst()),
        MethodTensor("lora_B.weight", [layer.outFeatures, rank] + ones),
      ]
    case .parameter where layer.shape.count == 3:
      let (out, columns) = layer.storedTransposed ? (2, 1) : (1, 2)
      return [
        MethodTensor("lora_A.weight", [rank * layer.shape[0], layer.shape[columns]]),
        MethodTensor("lora_B.weight", [layer.shape[out], rank * layer.shape[0]]),
      ]
    case .parameter where layer.shape.count == 2:
      return [
        MethodTensor("lora_A.weight", [rank, layer.inFeatures]),
        MethodTensor("lora_B.weight", [layer.outFeatures, rank]),
      ]
    case .normalization, .parameter:
      throw .layer(reason: "LoRA needs a matrix")
    }
  }

  /// A and B of a new linear module, by `init_lora_weights`: true and "gaussian" start at B = 0.
  ///
  /// PEFT makes both factors as linear layers, which draw their own numbers, and then draws A anew;
  /// with `false` the first numbers stay. All are rounded to the base's precision.
  static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    guard start.layer.kind == .linear else { throw .layer(reason: "training needs a linear layer") }
    let (inFeatures, outFeatures) = (start.layer.inFeatures, start.layer.outFeatures)
    let rank = try start.settings.positive("r", default: 8)
    let hasBias = try start.settings.bool("lora_bias") ?? false
    let slope = 5.0.squareRoot()
    var a = generator.kaimingUniform(rank * inFeatures, fanIn: inFeatures, slope: slope)
    var b = generator.kaimingUniform(outFeatures * rank, fanIn: rank, slope: slope)
    var bias =
      hasBias ? generator.kaimingUniform(outFeatures, fanIn: rank, slope: slope) : []
    switch start.settings["init_lora_weights"] {
    case nil, .bool(true):
      a = generator.kaimingUniform(rank * inFeatures, fanIn: inFeatures, slope: slope)
    case .text("gaussian"):
      a = generator.normal(rank * inFeatures, deviation: 1 / Double(rank))
    case .bool(false):
      return tensors(a: a, b: b, bias: bias)
    case .some:
      throw .setting(
        name: "init_lora_weights", reason: "training starts from true, false or gaussian")
    }
    b = [Float](repeating: 0, count: b.count)
    bias = [Float](repeating: 0, count: bias.count)
    return tensors(a: a, b: b, bias: bias)

    func tensors(a: [Float], b: [Float], bias: [Float]) -> [String: AdapterTensor] {
      let element = start.layer.element
      func tensor(_ shape: [Int], _ values: [Float]) -> AdapterTensor {
        AdapterTensor(shape: shape, element.widened(element.rounded(values)))
      }
      var result = [
        "lora_A.weight": tensor([rank, inFeatures], a),
        "lora_B.weight": tensor([outFeatures, rank], b),
      ]
      if hasBias { result["lora_B.bias"] = tensor([outFeatures], bias) }
      return result
    }
  }
}
