import Adapters
import Kernels
import Safetensors

/// Reads the changes of an adapter's modules as `B·A`, without a base: layers are as large as the
/// adapter's tensors say, or as `layers` does.
struct FactorReader {
  let term: WeightedAdapter
  let contents: AdapterContents
  /// Every adapter's and the base's layers, by module.
  var layers: [String: LayerGeometry] = [:]
  /// The layers that the adapter sits on, in the order of registration, as the base has them; empty
  /// without a base. What a method draws or shares depends on all of them.
  var boundLayers: [LayerGeometry] = []
  private let shared: [String: AdapterTensor]

  private var file: AdapterFile { contents.file }

  /// Opens the adapter and refuses what no combination of its modules would hold.
  init(_ term: WeightedAdapter) throws {
    self.term = term
    contents = try AdapterContents(AdapterFile(path: term.path))
    shared = try contents.shared.mapValues { [file = contents.file] in
      try file.tensor($0)
    }
    try refuseUnsupported()
  }

  private func refuseUnsupported() throws {
    let config = file.config
    func refuse(_ part: String, _ reason: String) throws -> Never {
      throw CombineError.unsupported(adapter: term.path, part: part, reason: reason)
    }
    if let reason = contents.usedMethods.compactMap({ $0.descriptor.notMergeable }).first {
      try refuse(contents.usedMethods[0].descriptor.title, reason)
    }
    for name in ["target_parameters", "layer_replication"] where config.settings[name] != nil {
      if case .list(let items)? = config.settings[name], items.isEmpty { continue }
      try refuse(name, "its factors fit one base only; merge the adapters instead")
    }
    if config.settings["lora_bias"] == .bool(true) {
      try refuse("lora_bias", "biases of lora_B have no place in the sum of the factors")
    }
    if !contents.tokenRows.isEmpty {
      try refuse("trainable_token_indices", "rows of tokens are replaced, not added")
    }
    if let unknown = config.unknownSettings(methods: contents.usedMethods).first {
      throw AdapterError.unknownSetting(
        path: config.path, name: unknown.name, value: unknown.value.description)
    }
  }

  /// The layers that the adapter's own tensors describe, by module.
  var ownLayers: [String: LayerGeometry] {
    var result: [String: LayerGeometry] = [:]
    for module in contents.modules {
      let shapes = module.shapes
      if let a = shapes["lora_A.weight"], let b = shapes["lora_B.weight"], a.count >= 2,
        let out = b.first
      {
        result[module.path] = LayerGeometry(
          module: module.path, kind: a.count == 2 ? .linear : .convolution,
          shape: [out] + a.dropFirst())
      } else if let a = shapes["lora_embedding_A"], let b = shapes["lora_embedding_B"],
        a.count == 2, b.count == 2
      {
        result[module.path] = LayerGeometry(
          module: module.path, kind: .embedding, shape: [a[1], b[0]])
      }
    }
    return result
  }

  /// The largest rank of a module, from headers.
  var largestRank: Int {
    get throws {
      var largest = 1
      for module in contents.modules {
        do {
          let summary = try module.method.examine(
            module.shapes, settings: module.settings, layer: layers[module.path])
          largest = max(largest, summary.rank ?? 1)
        } catch {
          throw AdapterError.module(
            path: term.path, module: module.path, tensor: nil, error: error)
        }
      }
      return largest
    }
  }

  /// Whether tensors of the module's method are drawn for all layers of the base.
  private static func needsLayers(_ module: AdaptedModule) -> Bool {
    module.settings["save_projection"] == .bool(false)
  }

  /// The factors of `module`, `out × in`; of an embedding `dim × tokens`, as PEFT stores them.
  func factors(of module: AdaptedModule) throws -> LowRankFactors {
    let title = module.method.descriptor.title
    guard let layer = layers[module.path] else {
      throw CombineError.unknownLayer(adapter: term.path, module: module.path, method: title)
    }
    let ignored = Set(module.method.descriptor.ignoredLeaves)
    var tensors: [String: AdapterTensor] = [:]
    for (leaf, info) in module.tensors where !ignored.contains(leaf) {
      tensors[leaf] = try file.tensor(info)
    }
    let update: (any WeightUpdate)?
    do {
      let method = try module.method.init(
        AdapterModule(
          layer: layer, settings: module.settings, tensors: tensors,
          context: AdapterContext(shared: shared, layers: boundLayers)))
      guard try method.biasUpdate() == nil else {
        throw CombineError.unsupported(
          adapter: term.path, part: "the bias of \(module.path)",
          reason: "a LoRA without biases cannot hold it")
      }
      update = try method.weightUpdate()
    } catch MethodError.setting where boundLayers.isEmpty && Self.needsLayers(module) {
      throw CombineError.unknownLayer(adapter: term.path, module: module.path, method: title)
    } catch let error as MethodError {
      throw AdapterError.module(
        path: term.path, module: module.path, tensor: nil, error: error)
    }
    guard let update, update.form == .additive, let factors = update.exactFactors else {
      throw CombineError.notLowRank(adapter: term.path, module: module.path, method: title)
    }
    return layer.kind == .embedding ? factors.transposed() : factors
  }
}

extension AdapterFile {
  /// The elements of `info`, checked against the container's CRC-32.
  fileprivate func tensor(_ info: TensorInfo) throws -> AdapterTensor {
    let bytes = try weights.read(info)
    if let stated = container?.checksums[info.name] {
      let found = bytes.withUnsafeBytes { CRC32.of($0) }
      guard found == stated else {
        throw AdapterError.checksum(path: path, tensor: info.name, stated: stated, found: found)
      }
    }
    guard let tensor = AdapterTensor(bytes, dtype: info.dtype, shape: info.shape) else {
      throw AdapterError.elementType(tensor: info.name, dtype: info.dtype)
    }
    return tensor
  }
}
