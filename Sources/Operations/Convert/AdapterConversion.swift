import Adapters
import Kernels
import Safetensors

/// Writes an adapter in another form, every tensor bit for bit.
public struct AdapterConversion: Sendable {
  /// The forms that an adapter can be written in.
  public enum Target: String, Sendable, CaseIterable {
    /// A PEFT folder.
    case folder
    /// One file (spec/adapter-container.md).
    case container
  }

  public let input: AdapterFile
  public let output: String
  public let target: Target
  /// The base whose fingerprint the container will name.
  public let base: String?
  public let replacing: Bool

  public init(
    input: String, output: String, target: Target?, base: String? = nil, replacing: Bool = false
  ) throws {
    self.input = try AdapterFile(path: input)
    self.output = output
    self.target = target ?? (output.hasSuffix(".safetensors") ? .container : .folder)
    self.base = base
    self.replacing = replacing
  }

  /// Writes the output; returns its tensors' bytes.
  public func run() throws -> Int {
    switch target {
    case .container: try writeContainer()
    case .folder: try writeFolder()
    }
    return input.weights.header.tensors.reduce(0) { $0 + $1.byteCount }
  }

  private func writeContainer() throws {
    var checksums: [String: UInt32] = [:]
    for tensor in input.weights.header.tensors {
      let crc = try CRC32.of(
        input.weights.file, range: input.weights.absoluteRange(of: tensor))
      if let stated = input.container?.checksums[tensor.name], stated != crc {
        throw AdapterError.checksum(
          path: input.path, tensor: tensor.name, stated: stated, found: crc)
      }
      checksums[tensor.name] = crc
    }
    var other = input.container?.other ?? input.weights.header.metadata ?? [:]
    other["format"] = nil
    let metadata = ContainerMetadata(
      config: try configBytes(),
      base: try base.map { try Fingerprint(of: Checkpoint(path: $0)) } ?? input.container?.base,
      checksums: checksums, other: other)
    let file = try AtomicOutput(.file, at: output, replacing: replacing)
    try write(to: file.temporaryPath, metadata: metadata.entries)
    try file.commit()
  }

  private func writeFolder() throws {
    let folder = try AtomicOutput(.folder, at: output, replacing: replacing)
    let config = try OutputFile(
      path: FileSystem.join(folder.temporaryPath, AdapterFile.configName))
    try config.write(try configBytes(), at: 0)
    try config.close()
    var metadata = (input.container?.other ?? input.weights.header.metadata ?? [:])
      .map { (key: $0.key, value: $0.value) }
    if !metadata.contains(where: { $0.key == "format" }) {
      metadata.append((key: "format", value: "pt"))
    }
    try write(
      to: FileSystem.join(folder.temporaryPath, AdapterFile.weightsName), metadata: metadata)
    try folder.commit()
  }

  /// The bytes of `adapter_config.json`.
  private func configBytes() throws -> [UInt8] {
    try input.container?.config ?? InputFile(path: input.config.path).readAll()
  }

  private func write(to path: String, metadata: [(key: String, value: String)]) throws {
    let tensors = input.weights.header.tensors
    let layout = try SafetensorsLayout(
      tensors: tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: metadata)
    let sources = Dictionary(
      tensors.map { tensor in
        (
          tensor.name,
          CopiedTensor(
            file: input.weights.file,
            offset: input.weights.absoluteRange(of: tensor).lowerBound)
        )
      }, uniquingKeysWith: { first, _ in first })
    let shard = OutputPlan.Shard(
      name: FileSystem.name(of: path), layout: layout,
      sources: layout.tensors.compactMap { sources[$0.name] })
    _ = try OutputExecutor(
      plan: OutputPlan(shards: [shard]), folder: FileSystem.parent(of: path), threads: 1,
      progress: nil
    ).run()
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
