import Kernels
import Safetensors

/// What an adapter container states in its `__metadata__` (spec/adapter-container.md).
public struct ContainerMetadata: Sendable {
  /// The version of the format that this tool writes.
  public static let version = "1"

  /// The metadata key by which a container is recognised.
  public static let versionKey = Key.version

  enum Key {
    static let version = "peft_tool.container"
    static let config = "peft_tool.adapter_config"
    static let base = "peft_tool.base_fingerprint"
    static let checksums = "peft_tool.crc32"
  }

  /// The bytes of `adapter_config.json`.
  public let config: [UInt8]
  /// The base that the adapter belongs to, where that is known.
  public let base: Fingerprint?
  /// CRC-32 (zlib) of every tensor's bytes, by name.
  public let checksums: [String: UInt32]
  /// Metadata that this format does not define, kept as it is.
  public let other: [String: String]

  public init(
    config: [UInt8], base: Fingerprint?, checksums: [String: UInt32], other: [String: String] = [:]
  ) {
    self.config = config
    self.base = base
    self.checksums = checksums
    self.other = other
  }

  /// Reads the metadata of `file`; nil when it is no container.
  public init?(_ file: SafetensorsFile) throws(AdapterError) {
    let path = file.path
    guard var metadata = file.header.metadata, let version = metadata[Key.version] else {
      return nil
    }
    guard version == Self.version else {
      throw .containerVersion(path: path, version: version)
    }
    guard let config = metadata[Key.config] else {
      throw .containerMetadata(path: path, key: Key.config, reason: "it is missing")
    }
    var base: Fingerprint?
    if let text = metadata[Key.base] {
      guard let fingerprint = Fingerprint(text) else {
        throw .containerMetadata(path: path, key: Key.base, reason: "it is no fingerprint")
      }
      base = fingerprint
    }
    guard let listed = metadata[Key.checksums] else {
      throw .containerMetadata(path: path, key: Key.checksums, reason: "it is missing")
    }
    let checksums = try Self.parseChecksums(listed, path: path)
    for tensor in file.header.tensors where checksums[tensor.name] == nil {
      throw .containerMetadata(
        path: path, key: Key.checksums, reason: "it has no entry for \(tensor.name)")
    }
    for key in [Key.version, Key.config, Key.base, Key.checksums, "format"] {
      metadata[key] = nil
    }
    self.init(config: Array(config.utf8), base: base, checksums: checksums, other: metadata)
  }

  /// The metadata as a file carries it; the writer sorts it.
  public var entries: [(key: String, value: String)] {
    var entries = other.map { (key: $0.key, value: $0.value) }
    entries.append((key: "format", value: "pt"))
    entries.append((key: Key.version, value: Self.version))
    entries.append((key: Key.config, value: String(decoding: config, as: UTF8.self)))
    if let base { entries.append((key: Key.base, value: base.description)) }
    var object = JSONObject()
    for (name, crc) in checksums.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) })
    {
      object[name] = .string(crc.hexadecimal)
    }
    entries.append(
      (key: Key.checksums, value: JSONValue.object(object).serialized(asciiOnly: false)))
    return entries
  }

  private static func parseChecksums(
    _ text: String, path: String
  ) throws(AdapterError) -> [String: UInt32] {
    guard case .object(let object)? = try? JSONValue.parse(text) else {
      throw .containerMetadata(path: path, key: Key.checksums, reason: "it is no JSON object")
    }
    var checksums: [String: UInt32] = [:]
    for entry in object.entries {
      let name = entry.key
      guard case .string(let hex) = entry.value, hex.utf8.count == 8,
        let crc = UInt32(hex, radix: 16)
      else {
        throw .containerMetadata(
          path: path, key: Key.checksums, reason: "the entry of \(name) is no CRC-32")
      }
      checksums[name] = crc
    }
    return checksums
  }
}

extension UInt32 {
  /// Eight lower-case hexadecimal digits.
  public var hexadecimal: String {
    let digits = String(self, radix: 16)
    return String(repeating: "0", count: 8 - digits.utf8.count) + digits
  }
}
