import Kernels
import Safetensors

/// What an adapter file holds, sorted out by module: from headers alone, no tensor is read.
public struct AdapterContents: Sendable {
  public let file: AdapterFile
  /// The methods that the adapter's `peft_type` may stand for.
  public let methods: [any AdapterMethod.Type]
  /// Adapted modules, in natural order of their paths.
  public let modules: [AdaptedModule]
  /// Whole tensors that replace the base's.
  public let replacements: [Replacement]
  /// Rows that replace rows of embeddings.
  public let tokenRows: [TokenRows]
  /// Tensors that all modules share, by their name after `base_model.`.
  public let shared: [String: TensorInfo]
  /// Modules whose settings depend on the order of overlapping patterns, which PEFT does not keep.
  public let ambiguousPatterns: [AmbiguousPattern]

  /// Sorts out the tensors of `file`.
  ///
  /// - Parameter baseIsResidual: the base at hand is what a start such as PiSSA's has left of the
  ///   original one; the adapter is then plain LoRA on it.
  public init(_ file: AdapterFile, baseIsResidual: Bool = false) throws(AdapterError) {
    let config = file.config
    let common =
      baseIsResidual
      ? config.settings.setting("base_is_residual", to: .bool(true)) : config.settings
    let methods = MethodRegistry.methods(peftType: config.peftType)
    guard !methods.isEmpty else {
      throw .unknownMethod(path: config.path, peftType: config.peftType)
    }
    let leaves = methods.flatMap { $0.descriptor.allLeaves }
    let sharedNames = methods.flatMap { $0.descriptor.sharedTensors }

    var groups: [ModuleKey: [String: TensorInfo]] = [:]
    var replacements: [Replacement] = []
    var tokenRows: [TokenRows] = []
    var shared: [String: TensorInfo] = [:]
    let tensors = file.weights.header.tensors.sorted {
      $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
    for tensor in tensors {
      let key = TensorKey(tensor.name, leaves: leaves, shared: sharedNames)
      switch key.role {
      case .parameter(let leaf):
        let module = ModuleKey(
          path: key.module, nesting: key.nesting, insideWrapped: key.insideWrapped)
        if let other = groups[module]?.updateValue(tensor, forKey: leaf) ?? nil {
          throw .duplicateParameter(path: file.path, names: [other.name, tensor.name])
        }
        groups[module, default: [:]][leaf] = tensor
      case .shared(let name):
        shared[name] = tensor
      case .replacement(let parameter):
        let replacement = Replacement(
          module: key.module, parameter: parameter, tensor: tensor, wrapped: key.nesting > 0)
        if let other = replacements.first(where: { $0.target == replacement.target }) {
          // With `bias="all"` PEFT stores the biases of saved modules a second time.
          guard tensor.name.contains(".modules_to_save.") else {
            throw .duplicateParameter(path: file.path, names: [other.tensor.name, tensor.name])
          }
        } else {
          replacements.append(replacement)
        }
      case .tokenRows:
        let ids = try Self.tokenIds(config, module: key.module, tensor: tensor.name)
        tokenRows.append(TokenRows(module: key.module, tensor: tensor, ids: ids))
      case .frozenOriginal:
        continue
      }
    }

    var modules: [AdaptedModule] = []
    var ambiguous: [AmbiguousPattern] = []
    for (key, tensors) in groups.sorted(by: { $0.key < $1.key }) {
      let shapes = tensors.mapValues(\.shape)
      guard
        let method = methods.first(where: {
          $0.claims(shapes, settings: common) && $0.descriptor.owns(tensors.keys)
        })
      else {
        throw .unknownTensors(path: file.path, names: tensors.values.map(\.name).sorted())
      }
      var settings = common
      // Patterns are matched against the path of what is adapted, be it a module or a parameter.
      let target = common.targetParameter(of: key.path, nesting: key.nesting)
      let path = target.map { key.path + "." + $0 } ?? key.path
      for pattern in method.descriptor.patterns {
        guard case .table(let table)? = config.settings[pattern.table],
          let (value, keys) = ModulePattern.firstMatch(
            in: table, module: path, rule: pattern.rule)
        else { continue }
        let values = keys.compactMap { name in table.first { $0.key == name }?.value }
        if values.contains(where: { $0 != value }) {
          ambiguous.append(
            AmbiguousPattern(module: path, table: pattern.table, patterns: keys))
        }
        settings = settings.setting(pattern.setting, to: value)
      }
      modules.append(
        AdaptedModule(
          path: key.path, nesting: key.nesting, insideWrapped: key.insideWrapped, method: method,
          settings: settings, tensors: tensors))
    }

    self.file = file
    self.methods = methods
    self.modules = modules
    self.replacements = replacements
    self.tokenRows = tokenRows
    self.shared = shared
    self.ambiguousPatterns = ambiguous
  }

  /// The methods that the adapter's modules use, each once, in the registry's order; for an adapter
  /// without modules, the plain one of its type, which the registry lists last.
  public var usedMethods: [any AdapterMethod.Type] {
    let used = methods.filter { method in modules.contains { $0.method == method } }
    return used.isEmpty ? Array(methods.suffix(1)) : used
  }

  /// The ids of the rows that `tensor` replaces: `trainable_token_indices`, a list for the input
  /// embedding or lists by module.
  private static func tokenIds(
    _ config: AdapterConfig, module: String, tensor: String
  ) throws(AdapterError) -> [Int] {
    let list: Setting?
    switch config.settings["trainable_token_indices"] ?? config.settings["token_indices"] {
    case .list(let items): list = .list(items)
    case .table(let table):
      list =
        table.first { key, _ in
          key == module || module.hasSuffix("." + key) || key.hasSuffix("." + module)
        }?.value
    default: list = nil
    }
    guard case .list(let items)? = list else {
      throw .tokenRows(
        path: config.path, tensor: tensor, reason: "trainable_token_indices has no ids for it")
    }
    let ids = items.compactMap { if case .integer(let id) = $0, id >= 0 { id } else { nil } }
    guard ids.count == items.count else {
      throw .tokenRows(
        path: config.path, tensor: tensor,
        reason: "trainable_token_indices holds something other than token ids")
    }
    return ids
  }

  private struct ModuleKey: Hashable, Comparable {
    var path: String
    var nesting: Int
    var insideWrapped: Bool

    static func < (a: ModuleKey, b: ModuleKey) -> Bool {
      if a.path != b.path { return NaturalOrder.precedes(a.path, b.path) }
      return a.nesting < b.nesting
    }
  }
}

/// A module that the adapter adapts.
public struct AdaptedModule: Sendable {
  /// The module's path in the model, without PEFT's prefix.
  public let path: String
  /// Depth among several adapters on parameters of one module; 0 is the outermost.
  public let nesting: Int
  /// The module sits inside another adapted one (`out_proj` of a MultiheadAttention).
  public let insideWrapped: Bool
  public let method: any AdapterMethod.Type
  /// The configuration with patterns resolved for this module.
  public let settings: MethodSettings
  /// The module's tensors by leaf.
  public let tensors: [String: TensorInfo]

  public var shapes: [String: [Int]] { tensors.mapValues(\.shape) }

  /// The names of the module's tensors, sorted.
  public var tensorNames: [String] { tensors.values.map(\.name).sorted() }
}

/// A tensor that replaces a base tensor whole.
public struct Replacement: Sendable {
  public let module: String
  public let parameter: String
  public let tensor: TensorInfo
  /// The module is adapted as well (`base_layer` in the name): the replacement comes first.
  public let wrapped: Bool

  /// The replaced tensor's name, in the adapter's naming.
  public var target: String { module.isEmpty ? parameter : module + "." + parameter }
}

/// Rows that replace rows of an embedding.
public struct TokenRows: Sendable {
  public let module: String
  public let tensor: TensorInfo
  public let ids: [Int]
}

/// A module that several patterns of one table match, with different values.
public struct AmbiguousPattern: Sendable, Equatable {
  public let module: String
  public let table: String
  public let patterns: [String]
}

extension MethodDescriptor {
  /// The tensors that a module of this method may have.
  var allLeaves: [String] { leaves + frozenLeaves + ignoredLeaves }

  /// Whether every one of `leaves` is this method's.
  func owns(_ leaves: some Sequence<String>) -> Bool {
    let own = Set(allLeaves)
    return leaves.allSatisfy(own.contains)
  }
}
