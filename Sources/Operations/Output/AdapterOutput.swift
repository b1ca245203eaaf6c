import Adapters
import Kernels
import Safetensors

/// An adapter that is being written: a PEFT folder, or one container when the path ends with
/// `.safetensors`. Its tensors go to a scratch file as they come, so that the adapter is never in
/// memory whole and its sizes need not be known before; then everything is put in its place.
package final class AdapterOutput {
  private struct Entry {
    let name: String
    let dtype: DType
    let shape: [Int]
    /// nil for the scratch file.
    let file: InputFile?
    let offset: Int
  }

  private let isContainer: Bool
  private let output: AtomicOutput
  private let scratch: AtomicOutput
  private let scratchFile: OutputFile
  private var end = 0
  private var entries: [Entry] = []

  package init(at path: String, replacing: Bool) throws {
    isContainer = path.hasSuffix(".safetensors")
    output = try AtomicOutput(isContainer ? .file : .folder, at: path, replacing: replacing)
    scratch = try AtomicOutput(.file, at: output.temporaryPath + ".tensors", replacing: true)
    scratchFile = try OutputFile(path: scratch.temporaryPath)
  }

  /// Adds a tensor of f32.
  package func add(_ name: String, _ shape: [Int], _ values: [Float]) throws {
    try add(name, .f32, shape, ElementType.f32.rounded(values))
  }

  /// Adds a tensor of indices, stored as 64-bit integers.
  package func add(_ name: String, indices: [Int]) throws {
    let bytes = indices.flatMap { index in
      (0..<8).map { UInt8(truncatingIfNeeded: Int64(index) >> (8 * $0)) }
    }
    try add(name, .i64, [indices.count], bytes)
  }

  private func add(_ name: String, _ dtype: DType, _ shape: [Int], _ bytes: [UInt8]) throws {
    try scratchFile.write(bytes, at: end)
    entries.append(Entry(name: name, dtype: dtype, shape: shape, file: nil, offset: end))
    end += bytes.count
  }

  /// Adds `tensor` of `file`, byte for byte, under `name`.
  package func copy(_ tensor: TensorInfo, of file: SafetensorsFile, as name: String) {
    entries.append(
      Entry(
        name: name, dtype: tensor.dtype, shape: tensor.shape, file: file.file,
        offset: file.absoluteRange(of: tensor).lowerBound))
  }

  /// Writes the adapter and makes it appear; returns its tensors' bytes.
  @discardableResult
  package func commit(config: JSONObject) throws -> Int {
    try scratchFile.close()
    let added = try InputFile(path: scratch.temporaryPath)
    let layout = try SafetensorsLayout(
      tensors: entries.map { ($0.name, $0.dtype, $0.shape) },
      metadata: try metadata(config, added: added))
    let sources = Dictionary(
      entries.map { ($0.name, CopiedTensor(file: $0.file ?? added, offset: $0.offset)) },
      uniquingKeysWith: { first, _ in first })
    var path = output.temporaryPath
    if !isContainer {
      let file = try OutputFile(path: FileSystem.join(path, AdapterFile.configName))
      try file.write(Self.text(config), at: 0)
      try file.close()
      path = FileSystem.join(path, AdapterFile.weightsName)
    }
    let shard = OutputPlan.Shard(
      name: FileSystem.name(of: path), layout: layout,
      sources: layout.tensors.compactMap { sources[$0.name] })
    _ = try OutputExecutor(
      plan: OutputPlan(shards: [shard]), folder: FileSystem.parent(of: path), threads: 1,
      progress: nil
    ).run()
    scratch.discard()
    try output.commit()
    return layout.bodySize
  }

  private func metadata(
    _ config: JSONObject, added: InputFile
  ) throws -> [(key: String, value: String)] {
    guard isContainer else { return [(key: "format", value: "pt")] }
    var checksums: [String: UInt32] = [:]
    for entry in entries {
      let size = try entry.dtype.byteCount(of: entry.shape)
      checksums[entry.name] = try CRC32.of(
        entry.file ?? added, range: entry.offset..<entry.offset + size)
    }
    return ContainerMetadata(config: Self.text(config), base: nil, checksums: checksums).entries
  }

  /// The text of `adapter_config.json`, as PEFT writes it: sorted, indented by two.
  private static func text(_ config: JSONObject) -> [UInt8] {
    Array(JSONValue.object(config).serialized(style: .python(indent: 2), sortKeys: true).utf8)
  }
}
