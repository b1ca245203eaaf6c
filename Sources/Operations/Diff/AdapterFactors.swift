import Adapters
import Kernels
import Safetensors

/// The low-rank changes of an adapter's modules, read without a base: the sizes of a layer are those of
/// its factors.
struct AdapterFactors: Sendable {
  let modules: [String: AdaptedModule]
  private let file: AdapterFile

  /// An adapter of a method that is not known has no modules here.
  init(_ file: AdapterFile) {
    self.file = file
    // A change of a stack of experts has factors of all experts, whose order only the base tells.
    let hasParameters = file.config.settings["target_parameters"].map { $0 != .list([]) } ?? false
    let contents = hasParameters ? nil : try? AdapterContents(file)
    modules = Dictionary(
      contents?.modules.filter { $0.nesting == 0 }.map { ($0.path, $0) } ?? [],
      uniquingKeysWith: { first, _ in first })
  }

  /// The change of module `name` as `B·A`; nil where it has no such form, or no such module.
  func factors(_ name: String) throws -> LowRankFactors? {
    guard let module = modules[name], let layer = Self.layer(module) else { return nil }
    var tensors: [String: AdapterTensor] = [:]
    for (leaf, info) in module.tensors {
      guard
        let tensor = AdapterTensor(
          try file.weights.read(info), dtype: info.dtype, shape: info.shape)
      else { return nil }
      tensors[leaf] = tensor
    }
    let adapted = AdapterModule(layer: layer, settings: module.settings, tensors: tensors)
    do {
      return try module.method.init(adapted).weightUpdate()?.lowRank
    } catch {
      // It cannot be merged as it is; its tensors are compared all the same.
      return nil
    }
  }

  /// The layer that factors in PEFT's usual layouts sit on.
  private static func layer(_ module: AdaptedModule) -> LayerGeometry? {
    let shapes = module.shapes
    func layer(_ kind: LayerGeometry.Kind, _ shape: [Int]) -> LayerGeometry {
      LayerGeometry(module: module.path, kind: kind, shape: shape)
    }
    if let a = shapes["lora_embedding_A"], let b = shapes["lora_embedding_B"], a.count == 2,
      b.count == 2
    {
      return layer(.embedding, [a[1], b[0]])
    }
    guard let a = shapes["lora_A.weight"], let b = shapes["lora_B.weight"], a.count >= 2,
      b.count >= 2
    else { return nil }
    return layer(a.count == 2 ? .linear : .convolution, [b[0]] + a.dropFirst())
  }
}
