import Adapters
import Kernels
import Safetensors

/// A program that an adapter may be handed to.
public enum Consumer: String, Sendable, CaseIterable {
  case peft
  case vllm
  /// `convert_lora_to_gguf.py`, which makes what llama.cpp loads.
  case llamaCpp = "llama.cpp"
  case mlx
}

/// Something that a consumer would not take as it is.
public struct ConsumerAdvice: Sendable, Equatable {
  /// What the adapter has.
  public enum Cause: Sendable, Equatable {
    /// One file instead of PEFT's folder.
    case container
    /// A PEFT folder where the consumer has a format of its own.
    case otherFormat
    /// A method that the consumer does not have, or that looks like LoRA and is not.
    case method(String)
    /// A method that the consumer cannot take, whatever the file.
    case magnitudes
    case biases
    /// Whole tensors or rows of the base.
    case wholeTensors([String])
    /// Factors on parameters that are no modules.
    case parameters
    /// `α/√r`.
    case rootScale
    /// Modules whose scale is not that of the configuration's own r and α.
    case scales([String])
    /// A rank above what the consumer allows unless told otherwise.
    case rank(Int, limit: Int)
    /// Patterns that several keys match, in an order that PEFT does not keep.
    case overlappingPatterns([String])
    /// Settings that older versions stop at.
    case newSettings([String])
  }

  public enum Effect: String, Sendable {
    /// The consumer stops with an error.
    case refused
    /// The consumer goes on without it, and its results differ.
    case ignored
  }

  /// What helps.
  public enum Remedy: Sendable, Equatable {
    case convert(AdapterConversion.Target, needsBase: Bool)
    /// To LoRA with one rank and one α.
    case uniform
    case merge
    /// An option of the consumer.
    case option(String)
    case none
  }

  public let cause: Cause
  public let effect: Effect
  public let remedy: Remedy

  public init(_ cause: Cause, _ effect: Effect, _ remedy: Remedy) {
    (self.cause, self.effect, self.remedy) = (cause, effect, remedy)
  }
}

extension ConsumerAdvice {
  /// What `consumer` would refuse or pass over in the adapter at `path`, from its headers.
  ///
  /// Sources: vLLM's `PEFTHelper` and `parse_fine_tuned_lora_name`; llama.cpp's
  /// `convert_lora_to_gguf.py`; PEFT's `PeftConfig` and `LoraModel`; mlx-lm's `load_adapters`.
  public static func all(path: String, for consumer: Consumer) throws -> [ConsumerAdvice] {
    let file = try AdapterFile(path: path)
    let examined = try Examined(file)
    switch consumer {
    case .peft: return examined.peft
    case .vllm: return examined.vllm
    case .llamaCpp: return examined.llamaCpp
    case .mlx: return examined.mlx
    }
  }
}

/// The facts of an adapter that consumers differ over.
private struct Examined {
  let file: AdapterFile
  let contents: AdapterContents
  let modules: [(path: String, method: any AdapterMethod.Type, summary: ModuleSummary)]

  /// Ranks that vLLM takes unless it is started with another limit, and the limits there are.
  private static let defaultRank = 16
  private static let ranks = [8, 16, 32, 64, 128, 256, 320, 512]

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
    (contents.replacements.map(\.tensor.name) + contents.tokenRows.map(\.tensor.name)).sorted()
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
    if !contents.ambiguousPatterns.isEmpty {
      advice.append(
        .init(
          .overlappingPatterns(contents.ambiguousPatterns.map(\.module)), .ignored, .uniform))
    }
    if file.config.peftType == "LORA" {
      let new = file.config.json.keys.filter { !Self.oldSettings.contains($0) }.sorted()
      if !new.isEmpty {
        advice.append(
          .init(.newSettings(new), .refused, .convert(.lora, needsBase: false)))
      }
    }
    return advice
  }

  var vllm: [ConsumerAdvice] {
    guard let common = served else { return methodAdvice }
    var advice = common
    if settings["bias"].map({ $0 != .text("none") }) ?? false || leaves.contains("lora_B.bias") {
      advice.append(.init(.biases, .refused, .merge))
    }
    let differing = modules.filter { $0.summary.scale != configuredScale }.map(\.path)
    if !differing.isEmpty { advice.append(.init(.scales(differing), .ignored, .uniform)) }
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
    if leaves.contains("lora_B.bias") { advice.append(.init(.biases, .refused, .merge)) }
    if settings["use_rslora"] == .bool(true) {
      advice.append(.init(.rootScale, .ignored, .uniform))
    } else {
      let alpha = configuredAlpha
      let differing = modules.filter { module in
        module.summary.scale != module.summary.rank.map { alpha / Double($0) }
      }.map(\.path)
      if !differing.isEmpty { advice.append(.init(.scales(differing), .ignored, .uniform)) }
    }
    return advice
  }

  var mlx: [ConsumerAdvice] {
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
    var advice: [ConsumerAdvice] = []
    if !wholeTensors.isEmpty {
      advice.append(.init(.wholeTensors(wholeTensors), .refused, .merge))
    }
    if leaves.contains("lora_B.bias") { advice.append(.init(.biases, .refused, .merge)) }
    if usesParameters { advice.append(.init(.parameters, .refused, .merge)) }
    if advice.isEmpty {
      advice.append(.init(.otherFormat, .refused, .convert(.mlx, needsBase: false)))
    }
    return advice
  }

  // MARK: What servers share

  private var methodAdvice: [ConsumerAdvice] {
    otherMethod.map { [.init(.method($0.descriptor.title), .refused, remedy(for: $0))] } ?? []
  }

  /// What vLLM and llama.cpp share; nil where the method is not LoRA at all.
  private var served: [ConsumerAdvice]? {
    guard otherMethod == nil else { return nil }
    var advice: [ConsumerAdvice] = []
    if file.format == .container {
      advice.append(.init(.container, .refused, .convert(.folder, needsBase: false)))
    }
    if leaves.contains("lora_magnitude_vector") {
      advice.append(.init(.magnitudes, .refused, .merge))
    }
    if !wholeTensors.isEmpty {
      advice.append(.init(.wholeTensors(wholeTensors), .refused, .merge))
    }
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
