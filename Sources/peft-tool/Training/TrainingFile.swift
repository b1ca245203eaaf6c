import Kernels
import Operations
import Safetensors
import Training
import Yams

/// Why a file of training options cannot be used.
enum TrainingFileError: Error {
  case unreadable(path: String, line: Int, reason: String)
  /// A key that is not supported.
  case unknownKey(path: String, key: String)
  /// A value that the key cannot have.
  case value(path: String, key: String, expected: String)
}

/// Options of a training run in YAML, with the key names of axolotl.
struct TrainingFile {
  let path: String
  private let values: [String: Node]

  private(set) var base: String?
  private(set) var output: String?
  private(set) var data: String?

  init(path: String) throws {
    self.path = path
    let yaml = String(decoding: try InputFile(path: path).readAll(), as: UTF8.self)
    let node: Node?
    do {
      node = try Yams.compose(yaml: yaml)
    } catch let error as YamlError {
      throw TrainingFileError.unreadable(path: path, line: error.line, reason: error.problem)
    }
    guard let mapping = node?.mapping else {
      throw TrainingFileError.unreadable(path: path, line: 1, reason: "no keys and values")
    }
    var values: [String: Node] = [:]
    for (key, value) in mapping where value.null == nil { values[key.string ?? ""] = value }
    self.values = values
    for key in mapping.compactMap({ $0.key.string })
    where !Self.keys.contains(key) && !Self.passedOver.contains(where: { Self.matches($0, key) }) {
      // A key without a value asks for nothing.
      guard values[key] != nil else { continue }
      throw TrainingFileError.unknownKey(path: path, key: key)
    }
    base = try text("base_model")
    output = try text("output_dir")
    data = try file("datasets")
  }

  /// Keys that have a meaning here.
  private static let keys: Set<String> = [
    "base_model", "output_dir", "datasets", "test_datasets", "adapter", "load_in_4bit",
    "load_in_8bit", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules",
    "lora_target_linear", "peft_use_dora", "peft_use_rslora", "lora_model_dir",
    "resume_from_checkpoint", "sequence_len", "sample_packing", "micro_batch_size",
    "gradient_accumulation_steps", "num_epochs", "max_steps", "optimizer", "lr_scheduler",
    "learning_rate", "weight_decay", "warmup_steps", "max_grad_norm", "val_set_size", "seed",
    "eval_steps", "save_steps", "early_stopping_patience", "gradient_checkpointing", "bf16",
    "loraplus_lr_ratio", "shuffle_merged_datasets", "relora", "relora_steps",
    "jagged_restart_steps",
  ]

  /// Keys that ask for nothing here: how the original loads, shows and uploads. A star stands for any end.
  private static let passedOver = [
    "model_type", "tokenizer_type", "tokenizer_config", "trust_remote_code", "strict",
    "dataset_prepared_path", "flash_attention", "xformers_attention", "sdp_attention",
    "eager_attention", "wandb_*", "mlflow_*", "comet_*", "hub_*", "hf_use_auth_token",
    "logging_steps", "save_safetensors", "save_total_limit", "pad_to_sequence_len", "tf32",
    "group_by_length", "gradient_checkpointing_kwargs", "debug", "local_rank", "is_*_derived_model",
    "save_strategy", "eval_strategy", "evaluation_strategy", "eval_sample_packing",
    "use_tensorboard",
  ]

  private static func matches(_ pattern: String, _ key: String) -> Bool {
    let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return pattern == key }
    return key.hasPrefix(String(parts[0])) && key.hasSuffix(String(parts[1]))
  }

  // MARK: Values

  private func fail(_ key: String, _ expected: String) -> TrainingFileError {
    .value(path: path, key: key, expected: expected)
  }

  private func text(_ key: String) throws -> String? {
    guard let node = values[key] else { return nil }
    guard let text = node.string else { throw fail(key, "a text") }
    return text.isEmpty ? nil : text
  }

  private func integer(_ key: String, from least: Int = 1) throws -> Int? {
    guard let node = values[key] else { return nil }
    guard let value = node.int, value >= least else { throw fail(key, "an integer from \(least)") }
    return value
  }

  private func real(_ key: String, least: Double = 0) throws -> Double? {
    guard let node = values[key] else { return nil }
    // YAML reads 2e-4 as a text, as Python's reader does.
    guard let value = node.float ?? node.int.map(Double.init) ?? node.string.flatMap(Double.init),
      value.isFinite, value >= least
    else { throw fail(key, "a number from \(least)") }
    return value
  }

  private func flag(_ key: String) throws -> Bool {
    guard let node = values[key] else { return false }
    guard let value = node.bool else { throw fail(key, "true or false") }
    return value
  }

  private func choice<Value>(_ key: String, _ table: [String: Value]) throws -> Value? {
    guard let name = try text(key) else { return nil }
    guard let value = table[name] else {
      throw fail(key, "one of " + table.keys.sorted().joined(separator: ", "))
    }
    return value
  }

  /// The path of the one file of a list of data sets.
  private func file(_ key: String) throws -> String? {
    guard let node = values[key] else { return nil }
    guard let sets = node.sequence, sets.count == 1, let set = sets.first?.mapping,
      let path = set["path"]?.string
    else { throw fail(key, "one data set with the path of a local file") }
    for (name, value) in set where value.null == nil {
      let name = name.string ?? ""
      guard ["path", "type", "ds_type", "split"].contains(name) else {
        throw TrainingFileError.unknownKey(path: self.path, key: "\(key).\(name)")
      }
      if name == "type", !["completion", "chat_template", "json"].contains(value.string ?? "") {
        throw fail("\(key).type", "completion or chat_template, with the keys text or messages")
      }
    }
    return path
  }

  /// Sets what the file says.
  func apply(to request: inout TrainingRequest) throws {
    request.evaluationData = try file("test_datasets")
    if let share = try real("val_set_size") {
      guard share < 1 else { throw fail("val_set_size", "a share below 1") }
      request.evaluationSplit = share
    }
    try applyMethod(to: &request)
    if let steps = try integer("max_steps", from: -1), steps > 0 {
      request.length = .steps(steps)
    } else if let epochs = try real("num_epochs") {
      request.length = .epochs(epochs)
    }
    request.batchSize = try integer("micro_batch_size") ?? request.batchSize
    request.accumulation = try integer("gradient_accumulation_steps") ?? request.accumulation
    request.learningRate = try real("learning_rate") ?? request.learningRate
    request.schedule =
      try choice(
        "lr_scheduler",
        [
          "linear": .linear, "cosine": .cosine, "constant": .constant,
          "constant_with_warmup": .constant,
        ]) ?? request.schedule
    request.warmup = try integer("warmup_steps", from: 0) ?? request.warmup
    request.weightDecay = try real("weight_decay") ?? request.weightDecay
    request.maximumGradientNorm = try real("max_grad_norm") ?? request.maximumGradientNorm
    request.loraPlusRatio = try real("loraplus_lr_ratio") ?? request.loraPlusRatio
    let optimizer: (TrainingRequest.OptimizerChoice, paged: Bool)? = try choice(
      "optimizer",
      [
        "adamw_torch": (.adamw, false), "adamw_torch_fused": (.adamw, false),
        "adamw_hf": (.adamw, false), "adamw_8bit": (.adamw8bit, false),
        "adamw_bnb_8bit": (.adamw8bit, false), "paged_adamw_32bit": (.adamw, true),
        "paged_adamw_8bit": (.adamw8bit, true), "sgd": (.sgd, false),
      ])
    if let optimizer { (request.optimizer, request.pagesState) = optimizer }
    request.restartInterval = try integer("relora_steps") ?? integer("jagged_restart_steps")
    request.seed = try integer("seed", from: 0).map(UInt64.init) ?? request.seed
    request.sequenceLength = try integer("sequence_len") ?? request.sequenceLength
    request.packs = try flag("sample_packing")
    if values["shuffle_merged_datasets"] != nil {
      request.shuffles = try flag("shuffle_merged_datasets")
    }
    request.evaluationInterval = try integer("eval_steps")
    request.saveInterval = try integer("save_steps")
    request.patience = try integer("early_stopping_patience")
    request.recomputesBlocks = try flag("gradient_checkpointing")
    if values["bf16"]?.string != "auto", try flag("bf16") { request.precision = .bf16 }
    request.checkpoint = try text("resume_from_checkpoint")
  }

  private func applyMethod(to request: inout TrainingRequest) throws {
    if let name = try text("adapter") {
      request.method = name == "qlora" ? "lora" : name
    }
    if try flag("load_in_4bit") { request.quantization = try QuantizationScheme(.nf4) }
    if try flag("load_in_8bit") { request.quantization = try QuantizationScheme(.int8) }
    let (dora, rslora) = (try flag("peft_use_dora"), try flag("peft_use_rslora"))
    if dora { request.method = "dora" } else if rslora { request.method = "rslora" }
    if dora, rslora { request.settings["use_rslora"] = .bool(true) }
    request.rank = try integer("lora_r") ?? request.rank
    request.alpha = try real("lora_alpha") ?? request.alpha
    if let dropout = try real("lora_dropout") {
      guard dropout < 1 else { throw fail("lora_dropout", "a number below 1") }
      request.dropout = dropout
    }
    if let node = values["lora_target_modules"] {
      let names = node.sequence?.compactMap(\.string) ?? [node.string ?? ""]
      request.targets = try TargetSelection(argument: names.joined(separator: ","))
    }
    if try flag("lora_target_linear") { request.targets = .allLinear }
    request.initialAdapter = try text("lora_model_dir")
  }
}

extension YamlError {
  /// From 1; 0 where it is not known.
  fileprivate var line: Int {
    switch self {
    case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _):
      mark.line
    default: 0
    }
  }

  fileprivate var problem: String {
    switch self {
    case .scanner(_, let problem, _, _), .parser(_, let problem, _, _),
      .composer(_, let problem, _, _):
      problem
    default: "it is not YAML"
    }
  }
}
