import Adapters
import Kernels
import Safetensors

/// Adapters of MoRA and SBoRA under the names of their authors' forks of PEFT, and under ours.
enum ForkFiles {
  /// How a fork names what we name otherwise.
  private enum Fork {
    /// M twice, as `lora_A.weight` and `lora_B.weight`; `use_mora` in a configuration of LoRA.
    case mora
    /// The index in the place of the fixed factor: `lora_A` and `lora_B.weight`, or `lora_B` and
    /// `lora_A.weight`.
    case sbora
  }

  /// The adapter under our names; any other adapter as it is.
  static func native(_ file: AdapterFile, copy: AdapterDraft) throws -> AdapterDraft {
    guard let (fork, modules) = try modules(file) else { return copy }
    var config = file.config.json
    var tensors: [DraftTensor] = []
    switch fork {
    case .mora:
      config["peft_type"] = "MORA"
      config["use_mora"] = nil
      for module in modules {
        if let own = module.tensors["mora_M"] {
          tensors.append(draft(own, of: file, module, "mora_M"))
        } else if let matrix = module.tensors["lora_A.weight"] {
          if let twin = module.tensors["lora_B.weight"] {
            let same = try draft(twin, of: file).bytes() == draft(matrix, of: file).bytes()
            guard same else {
              throw AdapterError.module(
                path: file.path, module: module.path, tensor: twin.name,
                error: .values(
                  leaf: "lora_B.weight", reason: "differs from lora_A.weight, of which it is a copy"
                ))
            }
          }
          tensors.append(draft(matrix, of: file, module, "mora_M"))
        }
      }
    case .sbora:
      config["peft_type"] = "SBORA"
      config["adapter_name"] = nil
      let isFixedA = try fixesA(modules, path: file.path)
      config["variant"] = isFixedA ? "FA" : "FB"
      let names = [
        "lora_A": "sbora_index", "lora_B": "sbora_index", "lora_A.weight": "sbora_A",
        "lora_B.weight": "sbora_B",
      ]
      for module in modules {
        for (leaf, tensor) in module.tensors {
          tensors.append(draft(tensor, of: file, module, names[leaf] ?? leaf))
        }
      }
    }
    return self.draft(config, tensors, of: file, copy: copy)
  }

  /// The adapter as MoRA's fork writes it.
  static func mora(_ file: AdapterFile, copy: AdapterDraft) throws -> AdapterDraft {
    let target = AdapterConversion.Target.moraFork.rawValue
    guard case (.mora, let modules)? = try modules(file) else {
      throw refusal(file, target, "it is no MoRA")
    }
    switch file.config.settings["mora_type"] {
    case .text("truncation"), .text("decomposition"):
      throw refusal(file, target, "the fork has no such type of MoRA")
    default: break
    }
    var config = file.config.json
    config["peft_type"] = "LORA"
    config["use_mora"] = true
    if config["mora_type"] == nil { config["mora_type"] = 1 }
    config["mora_rank"] = nil
    var tensors: [DraftTensor] = []
    for module in modules {
      guard let matrix = module.tensors["mora_M"] ?? module.tensors["lora_A.weight"] else {
        continue
      }
      tensors.append(draft(matrix, of: file, module, "lora_A.weight"))
      tensors.append(draft(matrix, of: file, module, "lora_B.weight"))
    }
    return draft(config, tensors, of: file, copy: copy)
  }

  /// The adapter as SBoRA's fork writes it.
  static func sbora(_ file: AdapterFile, copy: AdapterDraft) throws -> AdapterDraft {
    let target = AdapterConversion.Target.sboraFork.rawValue
    guard case (.sbora, let modules)? = try modules(file) else {
      throw refusal(file, target, "it is no SBoRA")
    }
    let isFixedA = try fixesA(modules, path: file.path)
    var config = file.config.json
    config["peft_type"] = "SBORA"
    config["adapter_name"] = isFixedA ? "sbora_fa" : "sbora_fb"
    config["variant"] = nil
    if config["lora_alpha"] == nil, let rank = config["r"] { config["lora_alpha"] = rank }
    let names = [
      "sbora_index": isFixedA ? "lora_A" : "lora_B", "sbora_A": "lora_A.weight",
      "sbora_B": "lora_B.weight",
    ]
    let tensors = modules.flatMap { module in
      module.tensors.map { draft($0.value, of: file, module, names[$0.key] ?? $0.key) }
    }
    return draft(config, tensors, of: file, copy: copy)
  }

  // MARK: What they share

  private static func modules(
    _ file: AdapterFile
  ) throws -> (fork: Fork, modules: [AdaptedModule])? {
    let contents = try AdapterContents(file)
    let methods = contents.usedMethods
    guard methods.count == 1, let method = methods.first else { return nil }
    if method == MoRA.self { return (.mora, contents.modules) }
    if method == SBoRA.self { return (.sbora, contents.modules) }
    return nil
  }

  /// Whether A is the fixed factor, in all modules.
  private static func fixesA(_ modules: [AdaptedModule], path: String) throws -> Bool {
    let fixed = Set(
      modules.map { $0.tensors["lora_A"] != nil || $0.tensors["sbora_B"] != nil })
    guard fixed.count == 1, let isFixedA = fixed.first else {
      throw AdapterError.configuration(
        path: path, reason: "some modules are SBoRA-FA and some SBoRA-FB")
    }
    return isFixedA
  }

  private static func draft(
    _ tensor: TensorInfo, of file: AdapterFile, _ module: AdaptedModule? = nil, _ leaf: String = ""
  ) -> DraftTensor {
    DraftTensor(
      tensor, of: file.weights, stated: file.container?.checksums[tensor.name],
      name: module.map { "base_model.model.\($0.path).\(leaf)" })
  }

  /// The draft of `modules` with the tensors of `copy` that belong to no module.
  private static func draft(
    _ config: JSONObject, _ tensors: [DraftTensor], of file: AdapterFile, copy: AdapterDraft
  ) -> AdapterDraft {
    let text = JSONValue.object(config).serialized(style: .python(indent: 2), sortKeys: true)
    let own = Set((try? AdapterContents(file))?.modules.flatMap(\.tensorNames) ?? [])
    return AdapterDraft(
      config: Array(text.utf8), tensors: tensors + copy.tensors.filter { !own.contains($0.name) },
      metadata: copy.metadata)
  }

  private static func refusal(
    _ file: AdapterFile, _ target: String, _ reason: String
  ) -> ConversionError {
    .noEquivalent(path: file.path, module: nil, target: target, reason: reason)
  }
}
