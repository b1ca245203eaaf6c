import Adapters
import Kernels
import Safetensors

/// What an adapter holds, whether its bytes are sound, and how it fits a base.
public struct AdapterInspection: Sendable {
  public struct Module: Sendable {
    public let module: String
    /// The method's title.
    public let method: String
    public let rank: Int?
    /// The effective scale of the change; nil where the method has none.
    public let scale: Double?
    public let parameters: Int
    public let tensors: [String]
  }

  public let path: String
  public let format: AdapterFile.Format
  /// The `peft_type`, or our own method's.
  public let peftType: String
  /// Titles of the methods in use.
  public let methods: [String]
  /// Why the adapter cannot be merged; nil where it can.
  public let notMergeable: String?
  public let baseName: String?
  public let modules: [Module]
  /// Tensors that replace the base's whole, and rows of embeddings.
  public let replacements: [String]
  public let trainableParameters: Int
  /// Modules whose `lora_B` is zero throughout: they change nothing, as before training.
  public let idleModules: [String]
  public let problems: [AdapterProblem]
  /// With a base: its parameters and the adapter's, and what does not fit.
  public let fit: Fit?

  public struct Fit: Sendable {
    /// Parameters of base and adapter together.
    public let allParameters: Int
    public let unmatched: [AdapterError.Unmatched]
    /// Modules that the configuration targets and that the adapter has no tensors for.
    public let untouchedTargets: [String]

    /// Of `trainable`, in per cent of all.
    public func percent(_ trainable: Int) -> Double {
      allParameters > 0 ? 100 * Double(trainable) / Double(allParameters) : 0
    }
  }

  public var isSound: Bool { problems.isEmpty && fit?.unmatched.isEmpty ?? true }

  /// - Parameter base: the model to compare with.
  public init(path: String, base: String?) throws {
    let file = try AdapterFile(path: path)
    let contents = try AdapterContents(file)
    var problems: [AdapterProblem] = contents.ambiguousPatterns.map(AdapterProblem.ambiguousPattern)
    for (name, value) in file.config.unknownSettings(methods: contents.usedMethods) {
      problems.append(.unknownSetting(name: name, value: value.description))
    }

    var fit: Fit?
    var layers: [String: LayerGeometry] = [:]
    if let base {
      let stored = try BaseModel(path: base)
      let model = try stored.quantized()?.unpacked ?? stored
      var unmatched: [AdapterError.Unmatched] = []
      var untouched: [String] = []
      switch Result(catching: { () throws(AdapterError) in
        try contents.bind(to: model, allowUnused: true)
      }) {
      case .success(let binding):
        unmatched = binding.unused
        untouched = binding.untouchedTargets
        for module in binding.modules where module.expert == nil {
          layers[module.module.path] = module.layer
        }
      case .failure(.unmatched(_, let modules, _)):
        unmatched = modules
      case .failure(.module(_, let module, let tensor, let error)):
        problems.append(.module(module: module, tensor: tensor, error: error))
      case .failure(let error):
        throw error
      }
      let parameters = model.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
      fit = Fit(
        allParameters: parameters + Self.adapterParameters(contents), unmatched: unmatched,
        untouchedTargets: untouched)
    }

    var modules: [Module] = []
    var condition: String?
    for module in contents.modules {
      do {
        let summary = try module.method.examine(
          module.shapes, settings: module.settings, layer: layers[module.path])
        modules.append(
          Module(
            module: module.path, method: module.method.descriptor.title, rank: summary.rank,
            scale: summary.scale, parameters: summary.trainableParameters,
            tensors: module.tensorNames))
        if condition == nil { condition = summary.notMergeable }
      } catch {
        problems.append(.module(module: module.path, tensor: nil, error: error))
      }
    }
    let values = try AdapterValues(contents)
    problems += values.problems

    self.path = path
    format = file.format
    peftType = file.config.peftType
    methods = contents.usedMethods.map { $0.descriptor.title }
    notMergeable = contents.usedMethods.compactMap { $0.descriptor.notMergeable }.first ?? condition
    baseName = file.config.json["base_model_name_or_path"]?.string
    self.modules = modules
    replacements =
      (contents.replacements.map(\.tensor.name) + contents.tokenRows.map(\.tensor.name)).sorted()
    trainableParameters =
      modules.reduce(0) { $0 + $1.parameters } + Self.sharedTrainable(contents)
      + Self.replaced(contents)
    idleModules = values.idleModules
    self.problems = problems
    self.fit = fit
  }

  /// Trainable tensors that the modules share.
  private static func sharedTrainable(_ contents: AdapterContents) -> Int {
    let trainable = contents.usedMethods.flatMap { $0.descriptor.trainableShared }
    return contents.shared.filter { name, _ in
      trainable.contains { $0.hasSuffix(".") ? name.hasPrefix($0) : name == $0 }
    }.values.reduce(0) { $0 + $1.elementCount }
  }

  /// Trained copies of base tensors. The frozen copy beside an adapted embedding is not trained.
  private static func replaced(_ contents: AdapterContents) -> Int {
    contents.replacements.filter { !($0.wrapped && $0.parameter == "weight") }
      .reduce(0) { $0 + $1.tensor.elementCount }
      + contents.tokenRows.reduce(0) { $0 + $1.tensor.elementCount }
  }

  /// Parameters that the adapter adds to the model: its own, and the trained copies of whole modules.
  /// Trained biases are the base's own.
  private static func adapterParameters(_ contents: AdapterContents) -> Int {
    var count = sharedTrainable(contents)
    for module in contents.modules {
      let summary = try? module.method.examine(
        module.shapes, settings: module.settings, layer: nil)
      count += summary?.trainableParameters ?? 0
    }
    let copies = contents.replacements.filter { replacement in
      !(replacement.wrapped && replacement.parameter == "weight")
        && !isTrainedBias(replacement, contents)
    }
    return count + copies.reduce(0) { $0 + $1.tensor.elementCount }
      + contents.tokenRows.reduce(0) { $0 + $1.tensor.elementCount }
  }

  private static func isTrainedBias(
    _ replacement: Replacement, _ contents: AdapterContents
  ) -> Bool {
    guard replacement.parameter == "bias", let bias = contents.file.config.settings["bias"] else {
      return false
    }
    return bias != .text("none")
  }
}

/// What makes an adapter unsound, or its result uncertain.
public enum AdapterProblem: Sendable, Equatable {
  case ambiguousPattern(AmbiguousPattern)
  case unknownSetting(name: String, value: String)
  case module(module: String, tensor: String?, error: MethodError)
  case checksum(tensor: String, stated: UInt32, found: UInt32)
  /// An infinity or NaN; the index is that of the first such element.
  case notFinite(tensor: String, index: Int)
}
