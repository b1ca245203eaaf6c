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
    /// Settings that older versions stop at, and that say nothing.
    case newSettings([String])
    /// A file that is no PEFT adapter.
    case foreign(NamingScheme)
    /// A LoRA that acts on some tokens only, or in another way that is no plain sum.
    case condition(reason: String)
    /// A start that has changed the base: the factors are not the change.
    case changedBase(start: String)
    /// Layers that the base does not have (`layer_replication`).
    case replication
    /// Factors of convolutions.
    case convolutions([String])
    /// Names with the adapter's name or a wrapper's in them, or without PEFT's prefix.
    case names([String])
    /// Modules that the configuration says are saved whole, and are not.
    case savedModules([String])
    /// Copies of embeddings that PEFT stores beside their factors.
    case copies([String])
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
    case uniform(needsBase: Bool)
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
    let source = try AdapterSource(path: path)
    guard case .peft(let file) = source else { return foreign(source, for: consumer) }
    let examined = try ExaminedAdapter(file)
    switch consumer {
    case .peft: return examined.peft
    case .vllm: return examined.vllm
    case .llamaCpp: return examined.llamaCpp
    case .mlx: return examined.mlx
    }
  }

  private static func foreign(
    _ source: AdapterSource, for consumer: Consumer
  ) -> [ConsumerAdvice] {
    guard let scheme = source.scheme, !(scheme == .mlx && consumer == .mlx) else { return [] }
    let target: AdapterConversion.Target
    switch source {
    case .kohya(let file) where LyCORIS.owns(file): target = .folder
    case .oneLoRAListing: target = .folder
    default: target = consumer == .mlx ? .mlx : .lora
    }
    return [.init(.foreign(scheme), .refused, .convert(target, needsBase: scheme == .kohya))]
  }
}
