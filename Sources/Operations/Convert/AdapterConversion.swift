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
    /// A PEFT folder under this tool's names, where a fork of PEFT has others.
    case native
    /// A folder as MoRA's fork of PEFT reads it.
    case moraFork = "mora-fork"
    /// A folder with the names of SBoRA's fork of PEFT.
    case sboraFork = "sbora-fork"
    /// One file of the whole model, as the listing of the 1LoRA paper saves it.
    case oneLoRAListing = "1lora-listing"
  }

  public struct Report: Sendable {
    public let target: Target
    public let tensors: Int
    /// Bytes of the tensors.
    public let bytes: Int
    /// Modules whose scale the format cannot state: it is multiplied into their factors, and rounded
    /// where the quotient is no power of 2.
    public let rescaled: [String]
  }

  private let source: AdapterSource
  private let output: String
  private let target: Target
  private let base: String?
  private let prefix: String?
  private let isUniform: Bool
  private let replacing: Bool
  private let isDryRun: Bool
  private let ignoredSettings: Set<String>

  /// - Parameters:
  ///   - target: nil for a container where `output` ends so, otherwise a folder.
  ///   - base: the base: its fingerprint goes into a container, its layers tell names and shapes that
  ///     the adapter's file does not say.
  ///   - prefix: what the names of kohya (`lora_unet`) and diffusers (`unet`) begin with.
  ///   - isUniform: LoRA with one rank and one α for all modules.
  ///   - isDryRun: finds out everything and writes nothing.
  ///   - ignoredSettings: settings that are not known and are gone on without.
  public init(
    input: String, output: String, target: Target?, base: String? = nil, prefix: String? = nil,
    isUniform: Bool = false, replacing: Bool = false, isDryRun: Bool = false,
    ignoredSettings: Set<String> = []
  ) throws {
    source = try AdapterSource(path: input)
    self.output = output
    self.target = target ?? (output.hasSuffix(".safetensors") ? .container : .folder)
    self.base = base
    self.prefix = prefix
    self.isUniform = isUniform
    self.replacing = replacing
    self.isDryRun = isDryRun
    self.ignoredSettings = ignoredSettings
  }

  /// Writes the output.
  public func run() throws -> Report {
    let draft = try self.draft()
    if !isDryRun { try write(draft) }
    return Report(
      target: target, tensors: draft.tensors.count,
      bytes: try draft.tensors.reduce(0) { try $0 + $1.dtype.byteCount(of: $1.shape) },
      rescaled: draft.rescaled)
  }

  private func write(_ draft: AdapterDraft) throws {
    switch target {
    case .container:
      try draft.writeContainer(output, base: try fingerprint(), replacing: replacing)
    case .folder, .lora, .native, .moraFork, .sboraFork:
      try draft.writeFolder(output, weights: AdapterFile.weightsName, replacing: replacing)
    case .mlx: try draft.writeFolder(output, weights: MLX.weightsName, replacing: replacing)
    case .kohya, .diffusers, .oneLoRAListing:
      try draft.writeFile(output, replacing: replacing)
    }
  }

  private func draft() throws -> AdapterDraft {
    switch target {
    case .folder, .container: return try peft()
    case .lora:
      let adapter = try lowRank()
      return try (isUniform ? adapter.uniform(target: target.rawValue) : adapter).peftDraft()
    case .kohya:
      if case .peft(let file) = source, LyCORIS.owns(file) {
        return try LyCORIS.draft(file, prefix: prefix)
      }
      return try Kohya.draft(lowRank(), prefix: prefix)
    case .diffusers: return try Diffusers.draft(lowRank(), prefix: prefix)
    case .mlx: return try MLX.draft(lowRank())
    case .native:
      guard case .peft(let file) = source else { return try peft() }
      return try ForkFiles.native(file, copy: copy(file))
    case .moraFork:
      let file = try adapterFile()
      return try ForkFiles.mora(file, copy: copy(file))
    case .sboraFork:
      let file = try adapterFile()
      return try ForkFiles.sbora(file, copy: copy(file))
    case .oneLoRAListing: return try OneLoRAListing.draft(adapterFile(), base: base)
    }
  }

  /// The input as PEFT holds it.
  private func peft() throws -> AdapterDraft {
    switch source {
    case .peft(let file): return try copy(file)
    case .oneLoRAListing(let file, let modules): return OneLoRAListing.draft(file, modules: modules)
    case .kohya(let file) where LyCORIS.owns(file):
      return try LyCORIS.peftDraft(file, base: base, prefix: prefix)
    case .kohya, .diffusers, .mlx: return try lowRank().peftDraft()
    }
  }

  /// The input, which must be an adapter with a method of its own.
  private func adapterFile() throws -> AdapterFile {
    if case .peft(let file) = source { return file }
    throw ConversionError.noEquivalent(
      path: source.path, module: nil, target: target.rawValue,
      reason: "it is no adapter of that method; convert it to a folder first, and that")
  }

  /// The input as plain LoRA.
  private func lowRank() throws -> LowRankAdapter {
    switch source {
    case .peft(let file):
      return try LowRankAdapter(
        file, base: base, target: target.rawValue, ignoredSettings: ignoredSettings)
    case .kohya(let file) where LyCORIS.owns(file):
      throw ConversionError.noEquivalent(
        path: file.path, module: nil, target: target.rawValue,
        reason: "it is LoHa or LoKr, whose changes have full rank; it converts to a folder")
    case .kohya(let file): return try onBase(Kohya.read(file, base: base, prefix: prefix))
    case .diffusers(let file): return try onBase(Diffusers.read(file, prefix: prefix))
    case .mlx(let file, let config, let configPath):
      return try onBase(MLX.read(file, config: config, configPath: configPath))
    case .oneLoRAListing(let file, _):
      throw ConversionError.noEquivalent(
        path: file.path, module: nil, target: target.rawValue,
        reason: "it is a whole model; convert it to a folder first, and that")
    }
  }

  /// With what only the base says: which weights it stores `in × out`.
  private func onBase(_ adapter: LowRankAdapter) throws -> LowRankAdapter {
    guard let base else { return adapter }
    let model = try BaseModel(path: base)
    var result = adapter
    for index in result.modules.indices {
      result.modules[index].storedTransposed = model.storesTransposed(
        result.modules[index].path + ".weight")
    }
    return result
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
