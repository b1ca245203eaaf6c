import Kernels
import Safetensors

/// What to estimate: a method on a base, before training.
public struct EstimateRequest: Sendable {
  /// Where sequences are given no length, and samples no number.
  public static let defaultSequenceLength = 512
  public static let defaultBatchSize = 1

  /// A name of the command line, additions after a plus.
  public var method: String
  /// What `--rank` sets: the rank, or what the method has in its place. Nil: the method's default.
  public var rank: Int?
  /// Nil: PEFT's default of the architecture; for methods that PEFT does not have, and architectures
  /// that it does not know, every layer of the method's kind.
  public var targets: TargetSelection?
  /// Quantize the frozen base in memory.
  public var quantization: BaseQuantization?
  /// Tokens of a sample; images have as many as they have. Nil: 512, or as many as the model takes.
  public var sequenceLength: Int?
  public var batchSize: Int?
  /// Keep only the blocks' outputs, and compute the rest again in the backward pass.
  public var recomputesBlocks = false
  /// What the data comes to; nil: samples of full length, every token a target where the model predicts
  /// tokens, otherwise one a sample.
  public var step: StepSize?

  /// The largest pass of a step.
  public struct StepSize: Sendable, Equatable {
    public var tokens: Int
    /// Tokens with a target.
    public var targets: Int

    public init(tokens: Int, targets: Int) { (self.tokens, self.targets) = (tokens, targets) }
  }

  /// Hyper-parameters by their names in `adapter_config.json`; they win over rank and defaults.
  public var settings: [String: Setting]

  public init(
    method: String, rank: Int? = nil, targets: TargetSelection? = nil,
    quantization: BaseQuantization? = nil, sequenceLength: Int? = nil, batchSize: Int? = nil,
    settings: [String: Setting] = [:]
  ) {
    self.method = method
    self.rank = rank
    self.targets = targets
    self.quantization = quantization
    self.sequenceLength = sequenceLength
    self.batchSize = batchSize
    self.settings = settings
  }

  /// The estimate for the model at `path`: weights, of which the headers are read, or a folder or file
  /// `config.json` without weights.
  public func report(model path: String) throws(EstimateError) -> EstimateReport {
    try report(ModelShapes(path: path))
  }

  /// The estimate for a model of these shapes.
  public func report(_ base: ModelShapes) throws(EstimateError) -> EstimateReport {
    let plan = try plan(base)
    let (choice, layers) = (plan.choice, plan.layers)
    let settings = MethodSettings(plan.settings)

    var count = ParameterCount()
    var modules: [(layer: ModelLayer, kept: KeptActivations)] = []
    for layer in layers {
      do throws(MethodError) {
        count = count + (try choice.method.parameters(layer.geometry, settings))
        modules.append((layer, try choice.method.kept(layer.geometry, settings)))
      } catch { throw .method(error, method: method, module: layer.module) }
    }
    do throws(MethodError) {
      let adapted = AdaptedModules(layers: layers.map(\.geometry), base: base)
      count = count + (try choice.method.shared(adapted, settings))
    } catch { throw .method(error, method: method, module: nil) }
    let isFull = choice.method == FullCount.self
    if choice.trainsNorms, !isFull, choice.method.kinds != [.normalization] {
      count.trained += base.normParameterCount
    }

    var memory = MemoryEstimate(base: base, quantization: quantization)
    memory.add(count)
    let sequence = try sequenceLength(of: base)
    let batch = try inRange(batchSize ?? Self.defaultBatchSize, option: "batch-size")
    let size =
      step
      ?? StepSize(
        tokens: sequence * batch,
        targets: base.facts.map(\.vocabulary) ?? 0 > 0 ? sequence * batch : batch)
    memory.activations = try Activations(
      base: base, modules: modules, size: size, recomputesBlocks: recomputesBlocks
    ).bytes()
    return EstimateReport(
      method: choice.name, modules: layers.map(\.module), trainableParameters: count.trained,
      allParameters: base.parameterCount + (isFull ? 0 : count.trained), memory: memory,
      sequenceLength: sequence, batchSize: batch, tokens: size.tokens)
  }

  /// What the method comes to on a model of these shapes.
  package func plan(_ base: ModelShapes) throws(EstimateError) -> AdapterPlan {
    let choice = try MethodChoice(method)
    return AdapterPlan(
      choice: choice, layers: try adaptedLayers(choice.method, of: base),
      settings: try settings(choice, modelType: base.modelType))
  }

  /// Hyper-parameters that choose modules or differ between them.
  private static let perModule: Set<String> = [
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    "target_parameters", "modules_to_save", "bias", "rank_pattern", "n_frequency_pattern",
    "block_size_pattern",
  ]

  /// Hyper-parameters: the method's defaults, under its variant's, under the rank, under those given.
  private func settings(
    _ choice: MethodChoice, modelType: String?
  ) throws(EstimateError) -> [String: Setting] {
    var values = choice.method.defaults.merging(choice.settings) { $1 }
    if let rank {
      guard let name = choice.method.rank else { throw .noRank(method: choice.name) }
      let range = MethodSettings.sizes
      guard range.contains(rank) else {
        throw .outOfRange(option: "rank", value: rank, allowed: range)
      }
      values[name] = .integer(rank)
    }
    if choice.method == IA3Count.self {
      values["feedforward_modules"] = .list(
        DefaultTargets.feedforward(modelType: modelType).map(Setting.text))
    }
    for name in settings.keys.sorted() where Self.perModule.contains(name) {
      throw .method(
        .setting(name: name, reason: "is not supported in an estimate"), method: choice.name,
        module: nil)
    }
    return values.merging(settings) { $1 }
  }

  private func adaptedLayers(
    _ method: any MethodCount.Type, of base: ModelShapes
  ) throws(EstimateError) -> [ModelLayer] {
    let kinds = method.kinds
    if let targets {
      guard !kinds.isEmpty else { throw .nothingTargeted(targets: targets.argument) }
      return try targets.select(from: base.layers, kinds: kinds)
    }
    if let type = base.modelType,
      let selection = DefaultTargets.targets(method.table, modelType: type)
    {
      return try selection.select(from: base.layers, kinds: kinds)
    }
    if method.table == .everything { return base.layers.filter { !$0.isTied } }
    if kinds.contains(.linear) {
      return try TargetSelection.allLinear.select(from: base.layers, kinds: kinds)
    }
    let fitting = base.layers.filter { kinds.contains($0.geometry.kind) }
    // The first embedding is that of the input.
    return kinds == [.embedding] ? Array(fitting.prefix(1)) : fitting
  }

  private func sequenceLength(of base: ModelShapes) throws(EstimateError) -> Int {
    switch base.facts?.tokens {
    case .image(let count)?: return count
    case .text(let maximum)?:
      return try inRange(
        sequenceLength ?? min(Self.defaultSequenceLength, maximum), option: "sequence-length")
    case nil:
      return try inRange(
        sequenceLength ?? Self.defaultSequenceLength, option: "sequence-length")
    }
  }

  private func inRange(_ value: Int, option: String) throws(EstimateError) -> Int {
    let range = 1...(1 << 24)
    guard range.contains(value) else {
      throw .outOfRange(option: option, value: value, allowed: range)
    }
    return value
  }
}
