import Adapters
import Kernels
import Safetensors

/// Files of sd-scripts (kohya): `<prefix>_<module with _ for .>.lora_down.weight`, `.lora_up.weight`,
/// `.alpha` (one number; absent: the rank) and `.dora_scale`.
enum Kohya {
  static let target = "kohya"
  static let defaultPrefix = "lora_unet"

  private static let leaves = [
    "lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight",
    "dora_scale": "lora_magnitude_vector", "alpha": "alpha",
  ]

  /// A tensor's stem and its leaf in PEFT's words; nil where the name has another form.
  static func parse(_ name: String) -> (stem: String, leaf: String)? {
    guard let dot = name.firstIndex(of: "."), name.hasPrefix("lora_") else { return nil }
    return leaves[String(name[name.index(after: dot)...])].map { (String(name[..<dot]), $0) }
  }

  /// The prefix of a stem: `lora_unet`, `lora_te`, `lora_te1`, `lora_te2`.
  private static func prefix(of stem: String) -> String {
    stem.split(separator: "_").prefix(2).joined(separator: "_")
  }

  static func draft(_ adapter: LowRankAdapter, prefix: String?) throws -> AdapterDraft {
    try adapter.requireFactorsOnly(target: target, magnitudes: true)
    var tensors: [DraftTensor] = []
    var owners: [String: String] = [:]
    for module in adapter.modules {
      let (a, b) = try adapter.pair(module, target: target)
      let stem =
        (prefix ?? defaultPrefix) + "_" + String(module.path.map { $0 == "." ? "_" : $0 })
      if let other = owners.updateValue(module.path, forKey: stem) {
        throw ConversionError.noEquivalent(
          path: adapter.path, module: module.path, target: target,
          reason: "its name would be \(stem), which is that of \(other)")
      }
      tensors.append(a.renamed(stem + ".lora_down.weight"))
      tensors.append(b.renamed(stem + ".lora_up.weight"))
      tensors.append(
        DraftTensor(stem + ".alpha", shape: [], [Float(adapter.plainAlpha(module))]))
      if let magnitude = module.tensors["lora_magnitude_vector"] {
        tensors.append(
          magnitude.reshaped(
            [magnitude.elementCount] + [Int](repeating: 1, count: b.shape.count - 1)
          ).renamed(stem + ".dora_scale"))
      }
    }
    return AdapterDraft(
      config: nil, tensors: tensors, metadata: ["ss_network_module": "networks.lora"])
  }

  /// Reads `file`, whose names `base` tells apart.
  static func read(_ file: SafetensorsFile, base: String?, prefix: String?) throws -> LowRankAdapter
  {
    var groups: [String: [String: TensorInfo]] = [:]
    for tensor in file.header.tensors {
      guard let (stem, leaf) = parse(tensor.name) else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensor.name, scheme: .kohya,
          reason: tensor.name.contains(".hada_") || tensor.name.contains(".lokr_")
            ? "is LyCORIS (LoHa or LoKr), which is not read; LoRA's lora_down and lora_up are"
            : "is neither lora_down, lora_up, alpha nor dora_scale of a module")
      }
      guard prefix == nil || Self.prefix(of: stem) == prefix else { continue }
      groups[stem, default: [:]][leaf] = tensor
    }
    let prefixes = Set(groups.keys.map(Self.prefix(of:))).sorted()
    guard prefixes.count == 1, let found = prefixes.first else {
      throw ConversionError.severalModels(
        path: file.path,
        prefixes: prefixes.isEmpty
          ? Set(file.header.tensors.compactMap { parse($0.name) }.map { Self.prefix(of: $0.stem) })
            .sorted() : prefixes)
    }
    guard let base else {
      throw ConversionError.needsBase(
        path: file.path,
        reason: "its names have _ for . and only the base's modules tell them apart")
    }
    var paths: [String: [String]] = [:]
    for tensor in try BaseModel(path: base).tensors where tensor.name.hasSuffix(".weight") {
      let path = String(tensor.name.dropLast(7))
      paths[found + "_" + String(path.map { $0 == "." ? "_" : $0 }), default: []].append(path)
    }
    var modules: [LowRankAdapter.Module] = []
    for (stem, tensors) in groups.sorted(by: { $0.key < $1.key }) {
      let candidates = paths[stem] ?? []
      guard candidates.count == 1, let path = candidates.first else {
        throw ConversionError.unresolvedName(
          path: file.path, tensor: tensors.values.map(\.name).min() ?? stem, scheme: .kohya,
          candidates: candidates.sorted())
      }
      modules.append(
        try ForeignModule(path: path, tensors: tensors, file: file, scheme: .kohya).module())
    }
    return LowRankAdapter(path: file.path, modules: modules)
  }
}

/// The tensors of one module of a file that states α as a tensor.
struct ForeignModule {
  let path: String
  /// By PEFT's leaf, and `alpha`.
  let tensors: [String: TensorInfo]
  let file: SafetensorsFile
  let scheme: NamingScheme
  /// α where no tensor states it; nil: the rank.
  var statedAlpha: Double?

  func module() throws -> LowRankAdapter.Module {
    guard let a = tensors["lora_A.weight"], let b = tensors["lora_B.weight"] else {
      throw ConversionError.unexpectedTensor(
        path: file.path, tensor: tensors.values.map(\.name).min() ?? path, scheme: scheme,
        reason: "has no partner: a module needs both factors")
    }
    guard a.shape.count >= 2, let rank = a.shape.first, b.shape.count >= 2, b.shape[1] == rank
    else {
      throw ConversionError.unexpectedTensor(
        path: file.path, tensor: b.name, scheme: scheme,
        reason: "is \(b.shape), which does not fit \(a.shape) of \(a.name)")
    }
    var alpha = statedAlpha ?? Double(rank)
    if let stated = tensors["alpha"] {
      let values = AdapterTensor(try file.read(stated), dtype: stated.dtype, shape: stated.shape)
      guard let value = values?.reals.first, values?.count == 1, value.isFinite else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: stated.name, scheme: scheme, reason: "is not one finite number")
      }
      alpha = Double(value)
    }
    var drafts: [String: DraftTensor] = [:]
    for (leaf, tensor) in tensors where leaf != "alpha" {
      let draft = DraftTensor(tensor, of: file)
      guard leaf == "lora_magnitude_vector" else {
        drafts[leaf] = draft
        continue
      }
      guard draft.elementCount == b.shape[0] else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensor.name, scheme: scheme,
          reason: "has \(draft.elementCount) magnitudes for \(b.shape[0]) outputs")
      }
      let shape = a.shape.count > 2 ? [1, b.shape[0]] + b.shape.dropFirst(2) : [b.shape[0]]
      drafts[leaf] = draft.reshaped(shape)
    }
    return LowRankAdapter.Module(path: path, rank: rank, alpha: alpha, tensors: drafts)
  }
}
