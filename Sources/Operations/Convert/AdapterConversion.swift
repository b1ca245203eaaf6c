import Adapters
import Kernels
import Safetensors

/// Writes an adapter in another form: bit for bit where both can say the same.
public struct AdapterConversion: Sendable {
  /// The forms that an adapter can be written in.
  public enum Target: String, Sendable, CaseIterable {
    /// A PEFT folder.
    case folder
    /// One file (spec/adapter-container.md).
    case container
    /// A PEFT folder of plain LoRA, whatever the method was.
    case lora
    /// One file with the names of sd-scripts.
    case kohya
    /// One file with the names of diffusers.
    case diffusers
    /// A folder as mlx-lm reads it.
    case mlx
  }

  public struct Report: Sendable {
    public let target: Target
    public let tensors: Int
    /// Bytes of the tensors.
    public let bytes: Int
  }

  private let source: AdapterSource
  private let output: String
  private let target: Target
  private let base: String?
  private let prefix: String?
  private let isUniform: Bool
  private let replacing: Bool

  /// - Parameters:
  ///   - target: nil for a container where `output` ends so, otherwise a folder.
  ///   - base: the base: its fingerprint goes into a container, its layers tell names and shapes that
  ///     the adapter's file does not say.
  ///   - prefix: what the names of kohya (`lora_unet`) and diffusers (`unet`) begin with.
  ///   - isUniform: LoRA with one rank and one α for all modules.
  public init(
    input: String, output: String, target: Target?, base: String? = nil, prefix: String? = nil,
    isUniform: Bool = false, replacing: Bool = false
  ) throws {
    source = try AdapterSource(path: input)
    self.output = output
    self.target = target ?? (output.hasSuffix(".safetensors") ? .container : .folder)
    self.base = base
    self.prefix = prefix
    self.isUniform = isUniform
    self.replacing = replacing
  }

  /// Writes the output.
  public func run() throws -> Report {
    let draft = try self.draft()
    switch target {
    case .container:
      try draft.writeContainer(output, base: try fingerprint(), replacing: replacing)
    case .folder, .lora:
      try draft.writeFolder(output, weights: AdapterFile.weightsName, replacing: replacing)
    case .mlx: try draft.writeFolder(output, weights: MLX.weightsName, replacing: replacing)
    case .kohya, .diffusers: try draft.writeFile(output, replacing: replacing)
    }
    return Report(
      target: target, tensors: draft.tensors.count,
      bytes: try draft.tensors.reduce(0) { try $0 + $1.dtype.byteCount(of: $1.shape) })
  }

  private func draft() throws -> AdapterDraft {
    switch target {
    case .folder, .container:
      switch source {
      case .peft(let file): return try copy(file)
      case .oneLoRAListing(let file, let modules):
        return OneLoRAListing.draft(file, modules: modules)
      case .kohya, .diffusers, .mlx: return try lowRank().peftDraft()
      }
    case .lora:
      let adapter = try lowRank()
      return try (isUniform ? adapter.uniform(target: target.rawValue) : adapter).peftDraft()
    case .kohya: return try Kohya.draft(lowRank(), prefix: prefix)
    case .diffusers: return try Diffusers.draft(lowRank(), prefix: prefix)
    case .mlx: return try MLX.draft(lowRank())
    }
  }

  /// The input as plain LoRA.
  private func lowRank() throws -> LowRankAdapter {
    switch source {
    case .peft(let file): return try LowRankAdapter(file, base: base, target: target.rawValue)
    case .kohya(let file): return try Kohya.read(file, base: base, prefix: prefix)
    case .diffusers(let file): return try Diffusers.read(file, prefix: prefix)
    case .mlx(let file, let config, let configPath):
      return try MLX.read(file, config: config, configPath: configPath)
    case .oneLoRAListing(let file, _):
      throw ConversionError.noEquivalent(
        path: file.path, module: nil, target: target.rawValue,
        reason: "it is a whole model; convert it to a folder first, and that")
    }
  }

  /// A PEFT adapter as it is: the bytes of its configuration and of every tensor.
  private func copy(_ file: AdapterFile) throws -> AdapterDraft {
    AdapterDraft(
      config: try file.container?.config ?? InputFile(path: file.config.path).readAll(),
      tensors: file.weights.header.tensors.map {
        DraftTensor($0, of: file.weights, stated: file.container?.checksums[$0.name])
      },
      metadata: file.container?.other ?? file.weights.header.metadata ?? [:])
  }

  private func fingerprint() throws -> Fingerprint? {
    if let base { return try Fingerprint(of: Checkpoint(path: base)) }
    if case .peft(let file) = source { return file.container?.base }
    return nil
  }
}

extension Fingerprint {
  /// The fingerprint of a model, read whole.
  public init(of checkpoint: Checkpoint) throws {
    self.init(
      try checkpoint.tensors.map { tensor in
        let file = checkpoint.file(of: tensor)
        return Entry(
          name: tensor.name, dtype: tensor.info.dtype, shape: tensor.info.shape,
          bytes: tensor.info.byteCount,
          crc: try CRC32.of(file.file, range: file.absoluteRange(of: tensor.info)))
      })
  }
}
