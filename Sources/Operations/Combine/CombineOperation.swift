import Adapters
import Kernels
import Safetensors

/// Makes one LoRA of several adapters, module by module.
///
/// Nothing of the adapters' configurations is taken over but what describes the base: the scale is 1,
/// the start is PEFT's default. Random modes draw from NumPy's PCG64 with the request's seed: modules
/// in natural order, of each A and then B (or the change), adapter by adapter, row by row.
public struct CombineOperation: Sendable {
  public let request: CombineRequest

  public init(_ request: CombineRequest) {
    self.request = request
  }

  public func run() throws -> CombineReport {
    if request.adapters.count == 1, request.adapters[0].weight == 1, request.rank == nil,
      !request.mode.needsDensity
    {
      let copied = try AdapterConversion(
        input: request.adapters[0].path, output: request.output, target: nil,
        replacing: request.replacing
      ).run()
      return CombineReport(
        output: request.output, modules: [], replacements: 0, copied: true,
        bytesWritten: copied.bytes)
    }
    let readers = try self.readers()
    let output = try AdapterOutput(at: request.output, replacing: request.replacing)
    var generator = NumpyGenerator(seed: request.seed)
    var configuration = LoRAConfiguration(
      readers.map(\.contents.file.config))
    var modules: [CombineReport.Module] = []
    let largestRank = try readers.reduce(1) { max($0, try $1.largestRank) }
    for path in modulePaths(readers) {
      let (terms, layer, module) = try terms(of: path, readers)
      let result = try FactorCombination(
        terms: terms, request: request, largestRank: largestRank
      ).combined(module: path, generator: &generator)
      try write(result, module: module, layer: layer, to: output)
      configuration.ranks.append((module: path, rank: result.rank))
      modules.append(
        CombineReport.Module(
          module: path, rank: result.rank, truncation: result.truncation,
          deltaSquared: result.deltaSquared))
    }
    let replacements = try carryReplacements(readers, to: output)
    let bytes = try output.commit(config: configuration.json)
    return CombineReport(
      output: request.output, modules: modules, replacements: replacements, copied: false,
      bytesWritten: bytes)
  }

  // MARK: - Modules

  private func readers() throws -> [FactorReader] {
    var readers = try request.adapters.map(FactorReader.init)
    var layers: [String: LayerGeometry] = [:]
    for reader in readers { layers.merge(reader.ownLayers) { first, _ in first } }
    if let base = request.base {
      let model = try BaseModel(path: base)
      for index in readers.indices {
        let binding = try readers[index].contents.bind(to: model)
        for bound in binding.modules where bound.expert == nil {
          layers[bound.module.path] = bound.layer
        }
        readers[index].boundLayers = binding.layers
      }
    }
    for index in readers.indices { readers[index].layers = layers }
    return readers
  }

  private func modulePaths(_ readers: [FactorReader]) -> [String] {
    Set(readers.flatMap { $0.contents.modules.map(\.path) }).sorted(by: NaturalOrder.precedes)
  }

  /// What the adapters that have `path` say of it.
  private func terms(
    of path: String, _ readers: [FactorReader]
  ) throws -> (
    terms: [(weight: Double, factors: LowRankFactors)], layer: LayerGeometry, module: AdaptedModule
  ) {
    var terms: [(weight: Double, factors: LowRankFactors)] = []
    var first: (LayerGeometry, AdaptedModule)?
    var owners: [String] = []
    for reader in readers {
      for module in reader.contents.modules where module.path == path {
        terms.append((reader.term.weight, try reader.factors(of: module)))
        owners.append(reader.term.path)
        if first == nil, let layer = reader.layers[path] { first = (layer, module) }
      }
    }
    let shapes = terms.map { [$0.factors.rows, $0.factors.columns] }
    guard let first, Set(shapes).count == 1 else {
      throw CombineError.shapes(module: path, adapters: owners, found: shapes)
    }
    return (terms, first.0, first.1)
  }

  private func write(
    _ result: FactorCombination.Result, module: AdaptedModule, layer: LayerGeometry,
    to output: AdapterOutput
  ) throws {
    var path = module.path
    if module.insideWrapped, let dot = path.lastIndex(of: ".") {
      path.insert(contentsOf: ".base_layer", at: dot)
    }
    let prefix = adapterPrefix + path + "."
    let columns = result.a.count / max(1, result.rank)
    let rows = result.b.count / max(1, result.rank)
    switch layer.kind {
    case .embedding:
      try output.add(prefix + "lora_embedding_A", [result.rank, columns], result.a)
      try output.add(prefix + "lora_embedding_B", [rows, result.rank], result.b)
    case .convolution:
      let ones = [Int](repeating: 1, count: layer.shape.count - 2)
      try output.add(prefix + "lora_A.weight", [result.rank] + layer.shape.dropFirst(), result.a)
      try output.add(prefix + "lora_B.weight", [rows, result.rank] + ones, result.b)
    case .linear, .normalization, .parameter:
      try output.add(prefix + "lora_A.weight", [result.rank, columns], result.a)
      try output.add(prefix + "lora_B.weight", [rows, result.rank], result.b)
    }
  }

  // MARK: - Whole tensors

  /// Copies tensors that adapters replace: the same in every adapter that has it, and wanted whole.
  /// Copies of the base beside adapted embeddings have no weight.
  private func carryReplacements(
    _ readers: [FactorReader], to output: AdapterOutput
  ) throws -> Int {
    var order: [String] = []
    var owners: [String: [(reader: FactorReader, replacement: Replacement)]] = [:]
    for reader in readers {
      for replacement in reader.contents.replacements {
        if owners[replacement.target] == nil { order.append(replacement.target) }
        owners[replacement.target, default: []].append((reader, replacement))
      }
    }
    for target in order.sorted(by: NaturalOrder.precedes) {
      guard let owners = owners[target], let (reader, replacement) = owners.first else { continue }
      let paths = owners.map(\.reader.term.path)
      let weights = reader.contents.file.weights
      let bytes = try weights.read(replacement.tensor)
      for other in owners.dropFirst() {
        let tensor = other.replacement.tensor
        guard tensor.shape == replacement.tensor.shape, tensor.dtype == replacement.tensor.dtype,
          try other.reader.contents.file.weights.read(tensor) == bytes
        else { throw CombineError.conflictingReplacements(tensor: target, adapters: paths) }
      }
      let isBaseCopy = replacement.wrapped && replacement.parameter == "weight"
      let sum = owners.reduce(0) { $0 + $1.reader.term.weight }
      guard isBaseCopy || abs(sum - 1) < 1e-12 else {
        throw CombineError.partialReplacement(tensor: target, adapters: paths, weight: sum)
      }
      let module = replacement.module.isEmpty ? "" : replacement.module + "."
      output.copy(
        replacement.tensor, of: weights,
        as: adapterPrefix + module + (replacement.wrapped ? "base_layer." : "")
          + replacement.parameter)
    }
    return order.count
  }
}

extension LoRAConfiguration {
  /// What the adapters' configurations say of the base, without a rank yet.
  init(_ configs: [AdapterConfig]) {
    func text(_ name: String) -> String? {
      configs.lazy.compactMap { $0.json[name]?.string }.first
    }
    let taskTypes = configs.map { $0.json["task_type"]?.string }
    let biases = Set(configs.compactMap { $0.json["bias"]?.string }).subtracting(["none"])
    self.init()
    baseModel = text("base_model_name_or_path")
    taskType = Set(taskTypes).count == 1 ? taskTypes[0] : nil
    storesTransposed = configs.contains { $0.json["fan_in_fan_out"]?.bool == true }
    bias = biases.count > 1 ? "all" : biases.first ?? "none"
    modulesToSave = configs.flatMap { config in
      config.json["modules_to_save"]?.array?.compactMap(\.string) ?? []
    }
  }
}
