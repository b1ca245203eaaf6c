import Safetensors

/// The whole model that the listing of the 1LoRA paper saves: each adapted layer is wrapped, its
/// weight is `<module>.linear.weight` and its vector `<module>.b`.
enum OneLoRAListing {
  /// The modules whose names have the form; nil where there is none.
  static func modules(_ file: SafetensorsFile) -> [(path: String, b: TensorInfo)]? {
    let weights = Dictionary(
      file.header.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let found: [(path: String, b: TensorInfo)] = file.header.tensors.compactMap { tensor in
      guard tensor.name.hasSuffix(".b"), tensor.shape.count == 1 else { return nil }
      let path = String(tensor.name.dropLast(2))
      guard let weight = weights[path + ".linear.weight"], weight.shape.first == tensor.shape[0]
      else { return nil }
      return (path, tensor)
    }
    return found.isEmpty ? nil : found.sorted { $0.path < $1.path }
  }

  /// Our 1LoRA adapter of the listing's vectors; the base's own tensors are left out.
  static func draft(_ file: SafetensorsFile, modules: [(path: String, b: TensorInfo)])
    -> AdapterDraft
  {
    let config: JSONObject = [
      "peft_type": "ONELORA", "task_type": nil, "base_model_name_or_path": nil, "revision": nil,
      "inference_mode": true, "compression": "sum",
      "target_modules": .array(modules.map { .string($0.path) }),
    ]
    let text = JSONValue.object(config).serialized(style: .python(indent: 2), sortKeys: true)
    return AdapterDraft(
      config: Array(text.utf8),
      tensors: modules.map {
        DraftTensor($0.b, of: file, name: "base_model.model.\($0.path).onelora_b")
      })
  }
}
