import Operations
import Safetensors

/// What `inspect --for` says.
struct ConsumerRendering {
  let path: String
  let base: String?
  let consumer: Consumer
  let advice: [ConsumerAdvice]

  var lines: [String] {
    guard !advice.isEmpty else { return ["  \(consumer.rawValue) takes it as it is"] }
    return advice.map { item in
      let verb = item.effect == .refused ? "refuses" : "passes over"
      let help = command(item.remedy).map { "; \($0)" } ?? ""
      return "  \(consumer.rawValue) \(verb) \(item.cause.clause)\(help)"
    }
  }

  var json: JSONValue {
    .array(
      advice.map { item in
        [
          "consumer": .string(consumer.rawValue), "effect": .string(item.effect.rawValue),
          "reason": .string(item.cause.clause),
          "command": command(item.remedy).map(JSONValue.string) ?? .null,
        ]
      })
  }

  /// The path as one word of a command.
  private var word: String {
    let isPlain = path.allSatisfy { $0.isLetter || $0.isNumber || "/._-+@:".contains($0) }
    return isPlain
      ? path
      : "'"
        + path.split(separator: "'", omittingEmptySubsequences: false)
        .joined(separator: "'\\''") + "'"
  }

  private func command(_ remedy: ConsumerAdvice.Remedy) -> String? {
    switch remedy {
    case .convert(let target, let needsBase):
      "peft-tool convert \(word) OUT --to \(target.rawValue)"
        + (needsBase ? " --base \(base ?? "BASE")" : "")
    case .uniform(let needsBase):
      "peft-tool convert \(word) OUT --to lora --uniform"
        + (needsBase ? " --base \(base ?? "BASE")" : "")
    case .merge: "peft-tool merge \(base ?? "BASE") \(word) OUT"
    case .option(let option): "\(consumer.rawValue) serve … \(option)"
    case .none: nil
    }
  }
}

extension ConsumerAdvice.Cause {
  /// The cause as the object of a sentence.
  var clause: String {
    switch self {
    case .container: "a container, and reads PEFT's folder"
    case .otherFormat: "PEFT's folder, and reads its own"
    case .method(let title): "the method, \(title)"
    case .magnitudes: "DoRA's magnitudes"
    case .biases: "trained biases"
    case .wholeTensors(let names): "whole tensors of the base: \(Failure.list(names))"
    case .parameters: "factors on parameters that are no modules (target_parameters)"
    case .rootScale: "use_rslora, and scales by alpha/r"
    case .scales(let modules):
      "rank_pattern and alpha_pattern, which give \(Text.count(modules.count, "module")) a scale of "
        + "its own: \(Failure.list(modules))"
    case .rank(let rank, let limit): "rank \(rank), above its limit of \(limit)"
    case .overlappingPatterns(let modules):
      "the order of patterns that overlap at \(Failure.list(modules))"
    case .foreign(let scheme): "names of \(scheme.form), and reads its own"
    case .condition(let reason): "its condition: \(reason)"
    case .changedBase(let start):
      "the start (init_lora_weights \(start)), which has changed the base: on another base the factors "
        + "are not the change"
    case .replication: "layers that the base does not have (layer_replication)"
    case .convolutions(let modules): "factors of convolutions: \(Failure.list(modules))"
    case .names(let names):
      "tensors whose names are not as PEFT writes them: \(Failure.list(names))"
    case .savedModules(let names):
      "modules_to_save in the configuration: \(Failure.list(names))"
    case .copies(let names):
      "copies of embeddings, which differ from the base's where the vocabulary was resized: "
        + Failure.list(names)
    case .newSettings(let names):
      "settings unknown to older versions: \(Failure.list(names))"
    }
  }
}
