import Adapters
import Kernels
import Safetensors

extension OneLoRAListing {
  /// The whole model as the listing saves it: the tensors of `base`, the adapted layers' under `linear`,
  /// and the adapter's vectors.
  static func draft(_ adapter: AdapterFile, base: String?) throws -> AdapterDraft {
    func refused(_ module: String?, _ reason: String) -> ConversionError {
      .noEquivalent(
        path: adapter.path, module: module,
        target: AdapterConversion.Target.oneLoRAListing.rawValue, reason: reason)
    }
    let contents = try AdapterContents(adapter)
    guard contents.usedMethods.allSatisfy({ $0 == OneLoRA.self }) else {
      throw refused(nil, "it is no 1LoRA")
    }
    if let tensor = contents.replacements.first?.tensor.name {
      throw refused(tensor, "the listing trains no other tensors")
    }
    guard let base else {
      throw ConversionError.needsBase(
        path: adapter.path, reason: "the listing's file holds the whole model")
    }
    let model = try BaseModel(path: base)
    let binding = try contents.bind(to: model)
    var wrapped: [String: String] = [:]
    var tensors: [DraftTensor] = []
    for bound in binding.modules {
      guard bound.module.tensors.count == 1, let b = bound.module.tensors.values.first,
        bound.weight.hasSuffix(".weight")
      else { throw refused(bound.module.path, "the listing has one vector for a layer, b") }
      guard !bound.layer.storedTransposed else {
        throw refused(bound.module.path, "the listing wraps layers that are stored out × in")
      }
      let path = String(bound.weight.dropLast(".weight".count))
      wrapped[path + ".weight"] = path + ".linear.weight"
      wrapped[path + ".bias"] = path + ".linear.bias"
      tensors.append(
        DraftTensor(
          b, of: adapter.weights, stated: adapter.container?.checksums[b.name], name: path + ".b"))
    }
    for tensor in model.tensors {
      tensors.append(
        DraftTensor(
          tensor.info, of: model.checkpoint.shards[tensor.shard],
          name: wrapped[tensor.name] ?? tensor.name))
    }
    return AdapterDraft(config: nil, tensors: tensors, metadata: ["format": "pt"])
  }
}
