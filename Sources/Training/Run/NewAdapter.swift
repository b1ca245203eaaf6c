import Adapters
import Kernels
import Operations
import Safetensors

/// A new adapter for a model, as PEFT initialises it: a folder that `AdaptedModel` reads like any other.
struct NewAdapter {
  let plan: AdapterPlan
  let method: any TrainableMethod.Type
  let model: TransformerModel
  let request: TrainingRequest
  /// The head is new or made for another task: it is trained whole.
  let trainsHead: Bool

  /// The name that PEFT puts before every tensor: prompts do not wrap the model once more.
  private var prefix: String { isPrompt ? "base_model." : "base_model.model." }

  init(_ model: TransformerModel, request: TrainingRequest) throws {
    let shapes = try ModelShapes(path: request.base)
    var estimate = EstimateRequest(method: request.method, rank: request.rank)
    estimate.targets = request.targets
    estimate.settings = request.settings
    let plan = try estimate.plan(shapes)
    guard let method = plan.trainable,
      method != PromptTuning.self || model.embedding is TokenEmbedding
    else {
      throw TrainingError.notTrainable(method: plan.name)
    }
    self.plan = plan
    self.method = method
    self.model = model
    self.request = request
    trainsHead = model.task != .languageModel
  }

  /// Writes the adapter to the folder `path`, which must not exist.
  func write(to path: String) throws {
    let output = try AdapterOutput(at: path, replacing: false)
    var generator = TorchGenerator(seed: request.seed)
    let (linears, norms) = try targets()
    guard !linears.isEmpty || !norms.isEmpty || isPrompt || !bottleneckModules.isEmpty else {
      throw TrainingError.notTrainable(method: plan.name)
    }
    let geometries = linears.map(geometry) + norms.map(geometry)
    let settings = MethodSettings(values)
    for (name, tensor) in try sharedTensors(geometries, settings) {
      try add("base_model." + name, tensor, to: output)
    }
    for linear in linears {
      let start = ModuleStart(
        layer: geometry(linear), settings: settings, weight: LayerRows(layer: linear),
        bias: linear.bias.map { Array($0.values) })
      try addModule(linear.path, start, &generator, to: output)
    }
    for norm in norms {
      let start = ModuleStart(
        layer: geometry(norm), settings: settings, weight: VectorRows(values: norm.weight.values),
        bias: norm.bias.map { Array($0.values) })
      try addModule(norm.path, start, &generator, to: output)
    }
    try writeAdditions(settings, &generator, to: output)
    let whole = wholeModules
    for (_, tensors) in whole {
      for tensor in tensors {
        let values = tensor.elements()
        try output.add(prefix + tensor.name, tensor.shape, values)
      }
    }
    try output.commit(config: configuration(linears: linears, norms: norms))
  }

  func addModule(
    _ path: String, _ start: ModuleStart, _ generator: inout TorchGenerator,
    to output: AdapterOutput
  ) throws {
    let tensors = try method.initialTensors(start, generator: &generator)
    for (leaf, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      try add("\(prefix)\(path).\(leaf)", tensor, to: output)
    }
  }

  private func add(_ name: String, _ tensor: AdapterTensor, to output: AdapterOutput) throws {
    switch tensor.values {
    case .real(let values): try output.add(name, tensor.shape, values)
    case .integer(let indices): try output.add(name, indices: indices)
    }
  }

  private func sharedTensors(
    _ layers: [LayerGeometry], _ settings: MethodSettings
  ) throws -> [(key: String, value: AdapterTensor)] {
    try method.initialShared(layers: layers, settings: settings).sorted { $0.key < $1.key }
  }

  // MARK: Layers

  /// The layers of the plan in this model.
  private func targets() throws -> (linears: [Linear], norms: [Normalization]) {
    var wanted: Set<String> = []
    guard bottleneckModules.isEmpty else { return ([], []) }
    for layer in plan.layers { wanted.insert(layer.module) }
    func isWanted(_ path: String, _ weight: BaseTensor) -> Bool {
      let stored = weight.storedName.map { String($0.dropLast(".weight".count)) }
      if let stored, wanted.remove(stored) != nil { return true }
      return wanted.remove(path) != nil
    }
    // Full fine-tuning stores whole what is no linear layer.
    let norms = model.norms.filter { isWanted($0.path, $0.weight) && method != FullTuning.self }
    let heads = Set(wholeModules.map(\.path))
    // A head that is the input embedding is no layer of its own.
    let linears = model.linears.filter {
      $0.weight.name == $0.path + ".weight" && $0.weight.shape.count == 2
        && isWanted($0.path, $0.weight)
        && !heads.contains($0.path)
    }
    // What the plan has beyond this model's layers: the pooler of a model without one, a second head.
    let kinds = Set(
      plan.layers.filter { wanted.contains($0.module) && !$0.isOutputHead }
        .map(\.geometry.kind))
    if !kinds.isDisjoint(with: [.embedding, .convolution]), method != FullTuning.self {
      let missing = plan.layers.first {
        wanted.contains($0.module) && [.embedding, .convolution].contains($0.geometry.kind)
      }
      throw TrainingError.noLayer(module: missing?.module ?? "", method: plan.name)
    }
    return (linears, norms)
  }

  private func geometry(_ linear: Linear) -> LayerGeometry {
    LayerGeometry(
      module: linear.path, kind: .linear,
      shape: linear.storedTransposed
        ? [linear.inFeatures, linear.outFeatures] : [linear.outFeatures, linear.inFeatures],
      storedTransposed: linear.storedTransposed, element: linear.weight.element,
      hasBias: linear.bias != nil)
  }

  private func geometry(_ norm: Normalization) -> LayerGeometry {
    LayerGeometry(
      module: norm.path, kind: .normalization, shape: norm.weight.shape, storedTransposed: false,
      element: norm.weight.element, hasBias: norm.bias != nil)
  }

  /// Modules whose tensors are trained and stored whole: a classifier's head, norms besides a method.
  private var wholeModules: [(path: String, tensors: [BaseTensor])] {
    var modules: [(path: String, tensors: [BaseTensor])] = []
    let trainsNorms = plan.trainsNorms || (method == FullTuning.self && request.targets == nil)
    if trainsNorms, method != NormTuning.self {
      modules += model.norms.map { ($0.path, [$0.weight, $0.bias].compactMap(\.self)) }
    }
    if trainsHead {
      let output = model.head.output
      modules.append((output.path, [output.weight, output.bias].compactMap(\.self)))
    }
    return modules
  }

  // MARK: Configuration

  /// The method's hyper-parameters with those of the request.
  private var values: [String: Setting] {
    var values = plan.settings.merging(modelSettings) { $1 }
    let known = method.descriptor.settings
    if known.contains("lora_alpha") {
      let rank = plan.settings["r"] ?? .integer(1)
      values["lora_alpha"] =
        request.alpha.map(Setting.real) ?? request.settings["lora_alpha"] ?? rank
    }
    if known.contains("fan_in_fan_out") || method.descriptor.peftTypes.first == "LORA" {
      values["fan_in_fan_out"] = .bool(model.linears.first?.storedTransposed ?? false)
    }
    return values
  }

  private func configuration(linears: [Linear], norms: [Normalization]) -> JSONObject {
    var config: JSONObject = [
      "peft_type": .string(method.descriptor.peftTypes[0]),
      "base_model_name_or_path": .string(FileSystem.name(of: request.base)),
      "inference_mode": true,
      "task_type": taskType,
      "bias": "none",
    ]
    for (name, setting) in values { config[name] = JSONValue(setting) }
    let paths = linears.map(\.path) + norms.map(\.path) + bottleneckModules
    if !paths.isEmpty { config["target_modules"] = targetModules(paths) }
    // PEFT asks for a part of the targets.
    if let names = config["feedforward_modules"]?.array,
      let targets = config["target_modules"]?.array
    {
      config["feedforward_modules"] = .array(names.filter(targets.contains))
    }
    if method.descriptor.peftTypes.first == "LORA" {
      config["lora_dropout"] = .double(request.dropout)
    }
    let whole = Set(
      wholeModules.map { $0.path.split(separator: ".").last.map(String.init) ?? $0.path })
    if !whole.isEmpty { config["modules_to_save"] = .array(whole.sorted().map { .string($0) }) }
    return config
  }

  private var taskType: JSONValue {
    switch model.task {
    case .languageModel: "CAUSAL_LM"
    case .classifier: "SEQ_CLS"
    case .imageClassifier: .null
    }
  }

  /// The last part of `path`; for a feed-forward module of IA3 the name that its configuration has.
  private func shortName(of path: String) -> String {
    if case .list(let names)? = plan.settings["feedforward_modules"] {
      for case .text(let name) in names where path.hasSuffix("." + name) { return name }
    }
    return path.split(separator: ".").last.map(String.init) ?? path
  }

  /// Names of which the last parts of `paths` are the shortest that select these modules alone.
  private func targetModules(_ paths: [String]) -> JSONValue {
    if case .pattern(let pattern)? = request.targets { return .string(pattern) }
    let wanted = Set(paths)
    let all = Set(model.linears.map(\.path) + model.norms.map(\.path) + bottleneckModules)
    let names = Set(paths.map(shortName))
    let selected = all.filter { path in
      names.contains { path == $0 || path.hasSuffix("." + $0) }
    }
    let heads = Set(wholeModules.map(\.path))
    let isExact = selected.subtracting(heads) == wanted
    return .array((isExact ? names : wanted).sorted().map { .string($0) })
  }
}
