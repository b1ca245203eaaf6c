import Adapters
import Kernels
import Safetensors

/// The facts of an adapter that consumers differ over.
struct ExaminedAdapter {
  let file: AdapterFile
  let contents: AdapterContents
  let modules: [(path: String, method: any AdapterMethod.Type, summary: ModuleSummary)]

  /// Ranks that vLLM takes unless it is started with another limit, and the limits there are.
  private static let defaultRank = 16
  private static let ranks = [8, 16, 32, 64, 128, 256, 320, 512]

  /// What `layer_replication`'s adapters and convolutions have no place in.
  private var unservable: [ConsumerAdvice] {
    var advice: [ConsumerAdvice] = []
    if case .list(let layers)? = settings["layer_replication"], !layers.isEmpty {
      advice.append(.init(.replication, .refused, .merge))
    }
    let convolutions = contents.modules.filter { ($0.shapes["lora_A.weight"]?.count ?? 0) > 2 }
    if !convolutions.isEmpty {
      advice.append(.init(.convolutions(convolutions.map(\.path)), .refused, .merge))
    }
    return advice
  }

  /// Settings that every version of PEFT's LoRA knows.
  private static let oldSettings: Set<String> = [
    "peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "r",
    "lora_alpha", "lora_dropout", "bias", "fan_in_fan_out", "target_modules", "modules_to_save",
    "init_lora_weights", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern",
    "auto_mapping",
  ]

  /// Types that are ours or a fork's.
  private static let foreignTypes: Set<String> = [
    "ONELORA", "MORA", "SBORA", "BITFIT", "DIFFFIT", "FULL", "BOTTLENECK", "LORASYM",
  ]

  init(_ file: AdapterFile) throws {
    self.file = file
    let contents = try AdapterContents(file)
    self.contents = contents
    var modules: [(path: String, method: any AdapterMethod.Type, summary: ModuleSummary)] = []
    for module in contents.modules {
      do {
        let summary = try module.method.examine(
          module.shapes, settings: module.settings, layer: nil)
        modules.append((module.path, module.method, summary))
      } catch {
        throw AdapterError.module(path: file.path, module: module.path, tensor: nil, error: error)
      }
    }
    self.modules = modules
  }

  private var settings: MethodSettings { file.config.settings }
  private var leaves: Set<String> { Set(contents.modules.flatMap(\.tensors.keys)) }

  /// The modules' methods that are not LoRA's own.
  private var otherMethod: (any AdapterMethod.Type)? {
    modules.map(\.method).first { $0 != LoRA.self && $0 != DoRA.self && !isPlain($0) }
      ?? (modules.isEmpty ? contents.usedMethods.first.flatMap { isLoRA($0) ? nil : $0 } : nil)
  }

  /// AsyLoRA without lora_E is LoRA to everybody.
  private func isPlain(_ method: any AdapterMethod.Type) -> Bool {
    method == AsymmetricLoRA.self && file.config.peftType == "LORA"
      && !leaves.contains("lora_E.weight")
  }

  /// A method of a fork whose files have LoRA's type.
  private func isForkOfLoRA(_ method: any AdapterMethod.Type) -> Bool {
    file.config.peftType == "LORA"
      && (method == MoRA.self || method == SBoRA.self || method == AsymmetricLoRA.self)
  }

  private func isLoRA(_ method: any AdapterMethod.Type) -> Bool {
    method == LoRA.self || method == DoRA.self || isPlain(method)
  }

  private var wholeTensors: [String] {
    let replacements = contents.replacements.filter { !isCopy($0) }
    return (replacements.map(\.tensor.name) + contents.tokenRows.map(\.tensor.name)).sorted()
  }

  /// PEFT stores the whole table beside an adapted embedding.
  private func isCopy(_ replacement: Replacement) -> Bool {
    replacement.wrapped && replacement.parameter == "weight"
  }

  private var copies: [String] { contents.replacements.filter(isCopy).map(\.tensor.name).sorted() }

  /// Why the factors are no plain sum, where the method is LoRA.
  private var condition: String? { modules.lazy.compactMap(\.summary.notMergeable).first }

  /// The start that has changed the base, where factors look like LoRA's.
  private var changingStart: String? {
    guard file.config.peftType == "LORA", case .text(let start)? = settings["init_lora_weights"]
    else { return nil }
    let isChanging =
      ["pissa", "olora", "corda", "lora_ga", "loftq"].contains(start)
      || start.hasPrefix("pissa_niter_")
    return isChanging && (try? settings.bool("base_is_residual")) != true ? start : nil
  }

  /// Tensors of modules under other names than PEFT's.
  ///
  /// - Parameter prefix: what PEFT puts before every path; vLLM and llama.cpp do without.
  private func otherNames(prefix: String) -> [String] {
    contents.modules.filter { $0.nesting == 0 && !$0.insideWrapped }.flatMap { module in
      module.tensors.compactMap { leaf, tensor in
        let name = "\(module.path).\(leaf)"
        let isKnown =
          tensor.name == "base_model.model." + name || (prefix.isEmpty && tensor.name == name)
        return isKnown ? nil : tensor.name
      }
    }.sorted()
  }

  /// The conversion that writes every tensor under PEFT's names.
  private var renaming: ConsumerAdvice.Remedy {
    otherMethod == nil && condition == nil && changingStart == nil
      ? .convert(.lora, needsBase: false) : .none
  }

  private var isActivated: Bool {
    settings["alora_invocation_tokens"].map { $0 != .null } ?? false
  }

  /// What turns the adapter's method into LoRA, as far as headers tell.
  private func remedy(for method: any AdapterMethod.Type) -> ConsumerAdvice.Remedy {
    if contents.usedMethods.contains(where: { $0.descriptor.notMergeable != nil }) { return .none }
    let scalesWeight =
      leaves.contains("difffit_scale") || leaves.contains("vera_magnitude_vector")
    let isBlockwise =
      settings["mora_type"] == .integer(6) || settings["mora_type"] == .text("6")
      || settings["mora_type"] == .text("decomposition")
    let isLowRank =
      method == OneLoRA.self || method == VeRA.self || method == SBoRA.self
      || method == AsymmetricLoRA.self || (method == MoRA.self && !isBlockwise)
    return isLowRank && !scalesWeight ? .convert(.lora, needsBase: true) : .merge
  }

  // MARK: Consumers

  var peft: [ConsumerAdvice] {
    var advice: [ConsumerAdvice] = []
    if file.format == .container {
      advice.append(.init(.container, .refused, .convert(.folder, needsBase: false)))
    }
    if let method = otherMethod,
      Self.foreignTypes.contains(file.config.peftType) || isForkOfLoRA(method)
    {
      advice.append(
        .init(.method(method.descriptor.title), .refused, remedy(for: method)))
      return advice
    }
    let others = otherNames(prefix: "base_model.model.")
    if !others.isEmpty { advice.append(.init(.names(others), .ignored, renaming)) }
    if !contents.ambiguousPatterns.isEmpty {
      advice.append(
        .init(
          .overlappingPatterns(contents.ambiguousPatterns.map(\.module)), .ignored,
          .convert(.lora, needsBase: false)))
    }
    if file.config.peftType == "LORA" {
      let new = file.config.json.entries.filter(isIdle).map(\.key).sorted()
      if !new.isEmpty, changingStart == nil, condition == nil, otherMethod == nil {
        advice.append(.init(.newSettings(new), .refused, .convert(.lora, needsBase: false)))
      }
    }
    return advice
  }

  /// The setting is not in every version's LoRA, and a conversion leaves it out.
  private func isIdle(_ entry: JSONObject.Entry) -> Bool {
    let kept = LowRankAdapter.carried.union(["use_rslora", "use_dora", "lora_bias"])
    let isUsed = kept.contains(entry.key) && !entry.value.isNull && entry.value != false
    return !Self.oldSettings.contains(entry.key) && !isUsed
  }

  var vllm: [ConsumerAdvice] {
    guard let common = served else { return methodAdvice }
    var advice = common
    if let condition {
      advice.append(.init(.condition(reason: condition), isActivated ? .ignored : .refused, .none))
    }
    if !wholeTensors.isEmpty {
      advice.append(.init(.wholeTensors(wholeTensors), .refused, .merge))
    }
    if case .list(let saved)? = settings["modules_to_save"], !saved.isEmpty, wholeTensors.isEmpty {
      let names = saved.compactMap { if case .text(let name) = $0 { name } else { nil } }
      advice.append(.init(.savedModules(names), .refused, .convert(.lora, needsBase: false)))
    }
    if settings["bias"].map({ $0 != .text("none") }) ?? false || leaves.contains("lora_B.bias") {
      advice.append(.init(.biases, .refused, .merge))
    }
    let differing = modules.filter { $0.summary.scale != configuredScale }.map(\.path)
    if !differing.isEmpty {
      advice.append(.init(.scales(differing), .ignored, .uniform(needsBase: false)))
    }
    let rank = modules.compactMap(\.summary.rank).max() ?? 0
    if rank > Self.defaultRank {
      let limit = Self.ranks.first { $0 >= rank }
      advice.append(
        .init(
          .rank(rank, limit: Self.defaultRank), .refused,
          limit.map { .option("--max-lora-rank \($0)") } ?? .merge))
    }
    return advice
  }

  var llamaCpp: [ConsumerAdvice] {
    guard let common = served else { return methodAdvice }
    var advice = common
    // It knows activated LoRA.
    if let condition, !isActivated {
      advice.append(.init(.condition(reason: condition), .refused, .none))
    }
    // It takes trained norms along.
    let whole = wholeTensors.filter { !$0.contains("_layernorm") && !$0.contains(".norm") }
    if !whole.isEmpty { advice.append(.init(.wholeTensors(whole), .refused, .merge)) }
    if leaves.contains("lora_B.bias") { advice.append(.init(.biases, .refused, .merge)) }
    if settings["use_rslora"] == .bool(true) {
      advice.append(.init(.rootScale, .ignored, .uniform(needsBase: false)))
    } else {
      let alpha = configuredAlpha
      let differing = modules.filter { module in
        module.summary.scale != module.summary.rank.map { alpha / Double($0) }
      }.map(\.path)
      if !differing.isEmpty {
        advice.append(.init(.scales(differing), .ignored, .uniform(needsBase: false)))
      }
    }
    return advice
  }

  var mlx: [ConsumerAdvice] {
    if let start = changingStart { return [changed(start)] }
    if let method = otherMethod {
      let remedy = remedy(for: method)
      let own: ConsumerAdvice.Remedy =
        if case .convert(_, let needsBase) = remedy {
          .convert(.mlx, needsBase: needsBase)
        } else {
          remedy
        }
      return [.init(.method(method.descriptor.title), .refused, own)]
    }
    var advice = unservable
    if let condition { advice.append(.init(.condition(reason: condition), .refused, .none)) }
    if !wholeTensors.isEmpty {
      advice.append(.init(.wholeTensors(wholeTensors), .refused, .merge))
    }
    if leaves.contains("lora_B.bias") { advice.append(.init(.biases, .refused, .merge)) }
    if usesParameters { advice.append(.init(.parameters, .refused, .merge)) }
    let embeds = contents.modules.contains {
      $0.tensors["lora_embedding_A"] != nil && $0.tensors["lora_magnitude_vector"] != nil
    }
    if embeds { advice.append(.init(.magnitudes, .refused, .merge)) }
    if advice.isEmpty {
      advice.append(.init(.otherFormat, .refused, .convert(.mlx, needsBase: !copies.isEmpty)))
    }
    return advice
  }

  // MARK: What servers share

  /// A start such as PiSSA's: the tensors are LoRA's, and are taken for the change.
  private func changed(_ start: String) -> ConsumerAdvice {
    .init(.changedBase(start: start), .ignored, condition == nil ? .merge : .none)
  }

  private var methodAdvice: [ConsumerAdvice] {
    if let start = changingStart { return [changed(start)] }
    guard let method = otherMethod else { return [] }
    var remedy = remedy(for: method)
    // Servers know one rank for all modules.
    if case .convert(.lora, let needsBase) = remedy, Set(modules.map(\.summary.rank)).count > 1 {
      remedy = .uniform(needsBase: needsBase)
    }
    return [.init(.method(method.descriptor.title), .refused, remedy)]
  }

  /// What vLLM and llama.cpp share; nil where the method is not LoRA at all.
  private var served: [ConsumerAdvice]? {
    guard otherMethod == nil, changingStart == nil else { return nil }
    var advice: [ConsumerAdvice] = []
    if file.format == .container {
      advice.append(.init(.container, .refused, .convert(.folder, needsBase: false)))
    }
    if leaves.contains("lora_magnitude_vector") {
      advice.append(.init(.magnitudes, .refused, .merge))
    }
    let others = otherNames(prefix: "")
    if !others.isEmpty { advice.append(.init(.names(others), .refused, renaming)) }
    if !copies.isEmpty { advice.append(.init(.copies(copies), .ignored, .merge)) }
    advice += unservable
    if usesParameters { advice.append(.init(.parameters, .refused, .merge)) }
    return advice
  }

  private var usesParameters: Bool {
    if case .list(let names)? = settings["target_parameters"] { !names.isEmpty } else { false }
  }

  private var configuredAlpha: Double { (try? settings.real("lora_alpha")) ?? 8 }

  /// The scale that the configuration's own r and α give.
  private var configuredScale: Double {
    let rank = Double((try? settings.integer("r")) ?? 8)
    return configuredAlpha / (settings["use_rslora"] == .bool(true) ? rank.squareRoot() : rank)
  }
}
