import Adapters
import Kernels
import Safetensors

/// Files of sd-scripts (kohya): `<prefix>_<module with _ for .>.lora_down.weight`, `.lora_up.weight`,
/// `.alpha` (one number; absent: the rank) and `.dora_scale`; LyCORIS writes LoHa and LoKr the same way.
enum Kohya {
  static let target = "kohya"
  static let defaultPrefix = "lora_unet"

  private static let leaves = [
    "lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight",
    "dora_scale": "lora_magnitude_vector", "alpha": "alpha",
  ]

  /// A tensor's stem and its leaf in PEFT's words; nil where the name has another form.
  static func parse(_ name: String) -> (stem: String, leaf: String)? {
    guard let dot = name.firstIndex(of: "."), isPrefix(String(name[..<dot])) else { return nil }
    let leaf = String(name[name.index(after: dot)...])
    let known = leaves[leaf] ?? (LyCORIS.leaves.contains(leaf) ? leaf : nil)
    return known.map { (String(name[..<dot]), $0) }
  }

  /// Whether names that begin with `prefix` are recognised.
  private static func isPrefix(_ prefix: String) -> Bool {
    ["lora_", "lycoris_"].contains { (prefix + "_").hasPrefix($0) && prefix != "lora" }
  }

  /// The prefix of names that are to be written.
  static func writtenPrefix(_ prefix: String?) throws -> String {
    let prefix = prefix ?? defaultPrefix
    guard isPrefix(prefix), KohyaNames.prefix(of: prefix + "_x") == prefix else {
      throw ConversionError.prefix(
        prefix, scheme: .kohya, known: ["lora_unet", "lora_te", "lora_te1", "lora_te2"])
    }
    return prefix
  }

  /// The stem of a module's names, each used once.
  struct Stems {
    let path: String
    let prefix: String
    private var owners: [String: String] = [:]

    init(path: String, prefix: String) { (self.path, self.prefix) = (path, prefix) }

    mutating func stem(of module: String) throws -> String {
      let stem = prefix + "_" + KohyaNames.name(of: module)
      if let other = owners.updateValue(module, forKey: stem) {
        throw ConversionError.noEquivalent(
          path: path, module: module, target: target,
          reason: "its name would be \(stem), which is that of \(other)")
      }
      return stem
    }
  }

  /// One number in the type of its module's factors, as sd-scripts writes it; in f32 or f64 where that
  /// type does not hold it.
  static func alpha(_ name: String, _ value: Double, like dtype: DType? = nil) -> DraftTensor {
    let single = Float(value)
    for element in [dtype.flatMap { ElementType($0) }, .f32].compactMap({ $0 })
    where Double(single) == value && element.widened(element.rounded([single])) == [single] {
      return DraftTensor(name, dtype: element.dtype, shape: []) { element.rounded([single]) }
    }
    return DraftTensor(name, dtype: .f64, shape: []) {
      withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
  }

  static func draft(_ adapter: LowRankAdapter, prefix: String?) throws -> AdapterDraft {
    try adapter.requireFactorsOnly(target: target)
    var tensors: [DraftTensor] = []
    var stems = Stems(path: adapter.path, prefix: try writtenPrefix(prefix))
    for module in adapter.modules {
      let (a, b) = try adapter.pair(module, target: target)
      let stem = try stems.stem(of: module.path)
      tensors.append(a.renamed(stem + ".lora_down.weight"))
      tensors.append(b.renamed(stem + ".lora_up.weight"))
      tensors.append(alpha(stem + ".alpha", adapter.plainAlpha(module), like: a.dtype))
      if let magnitude = module.tensors["lora_magnitude_vector"] {
        tensors.append(
          magnitude.reshaped(
            [magnitude.elementCount] + [Int](repeating: 1, count: b.shape.count - 1)
          ).renamed(stem + ".dora_scale"))
      }
    }
    var metadata = CarriedSettings.adding(
      adapter.settings, modules: adapter.modules.map(\.path), to: adapter.metadata)
    metadata["format"] = nil
    if metadata["ss_network_module"] == nil { metadata["ss_network_module"] = "networks.lora" }
    return AdapterDraft(
      config: nil, tensors: tensors, metadata: metadata, rescaled: adapter.rescaled)
  }

  /// The tensors of `file` by module and leaf, with the modules that `base` tells apart.
  static func modules(_ file: SafetensorsFile, base: String?, prefix: String?) throws
    -> [(path: String, tensors: [String: TensorInfo])]
  {
    var groups: [String: [String: TensorInfo]] = [:]
    for tensor in file.header.tensors {
      guard let (stem, leaf) = parse(tensor.name) else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensor.name, scheme: .kohya,
          reason: tensor.name.hasSuffix(".lora_mid.weight")
            ? "is a core in CP form, which LoRA has no tensor for"
            : "is neither lora_down, lora_up, alpha nor dora_scale of a module, nor LoHa's or LoKr's"
        )
      }
      guard prefix == nil || KohyaNames.prefix(of: stem) == prefix else { continue }
      groups[stem, default: [:]][leaf] = tensor
    }
    let prefixes = Set(groups.keys.map(KohyaNames.prefix(of:))).sorted()
    guard prefixes.count == 1, let found = prefixes.first else {
      let all = Set(
        file.header.tensors.compactMap { parse($0.name) }.map { KohyaNames.prefix(of: $0.stem) })
      throw ConversionError.severalModels(
        path: file.path, prefixes: prefixes.isEmpty ? all.sorted() : prefixes)
    }
    guard let base else {
      throw ConversionError.needsBase(
        path: file.path,
        reason: "its names have _ for . and only the base's modules tell them apart")
    }
    let names = KohyaNames(try BaseModel(path: base), prefix: found)
    return try groups.sorted(by: { $0.key < $1.key }).map { stem, tensors in
      let candidates = names.modules(of: stem)
      guard candidates.count == 1, let path = candidates.first else {
        throw ConversionError.unresolvedName(
          path: file.path, tensor: tensors.values.map(\.name).min() ?? stem, scheme: .kohya,
          candidates: candidates)
      }
      return (path, tensors)
    }
  }

  /// Reads the LoRA of `file`.
  static func read(_ file: SafetensorsFile, base: String?, prefix: String?) throws -> LowRankAdapter
  {
    let modules = try modules(file, base: base, prefix: prefix).map { path, tensors in
      try ForeignModule(path: path, tensors: tensors, file: file, scheme: .kohya).module()
    }
    var adapter = LowRankAdapter(path: file.path, modules: modules)
    (adapter.settings, adapter.metadata) = CarriedSettings.split(file.header.metadata)
    return adapter
  }
}
