import Kernels
import Safetensors

/// What a model is recognised by: the names, element types, shapes and bytes of its tensors, and
/// nothing else — not its sharding, its metadata or the order of its file
/// (spec/adapter-container.md, "Fingerprint").
///
/// It finds mistakes, not attacks: it is made of CRC-32s.
public struct Fingerprint: Sendable, Equatable, CustomStringConvertible {
  /// CRC-32 of the manifest: one line per tensor, sorted by name.
  public let manifest: UInt32
  public let tensors: Int
  public let bytes: Int

  /// One tensor's line of the manifest.
  public struct Entry: Sendable {
    public let name: String
    public let dtype: DType
    public let shape: [Int]
    public let bytes: Int
    /// CRC-32 (zlib) of the tensor's bytes.
    public let crc: UInt32

    public init(name: String, dtype: DType, shape: [Int], bytes: Int, crc: UInt32) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
      self.bytes = bytes
      self.crc = crc
    }
  }

  public init(_ entries: [Entry]) {
    let sorted = entries.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    var manifest = CRC32()
    for entry in sorted {
      let shape = entry.shape.map(String.init).joined(separator: ",")
      let line = "\(entry.name)\t\(entry.dtype.rawValue)\t\(shape)\t\(entry.crc.hexadecimal)\n"
      Array(line.utf8).withUnsafeBytes { manifest.update($0) }
    }
    self.manifest = manifest.value
    self.tensors = entries.count
    self.bytes = entries.reduce(0) { $0 + $1.bytes }
  }

  /// `crc32:1f2e3d4c-146-2200000512`: the manifest's CRC-32, the number of tensors, their bytes.
  public var description: String { "crc32:\(manifest.hexadecimal)-\(tensors)-\(bytes)" }

  /// Reads a description.
  public init?(_ description: String) {
    guard description.hasPrefix("crc32:") else { return nil }
    let parts = description.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].utf8.count == 8,
      let manifest = UInt32(parts[0], radix: 16),
      let tensors = Int(parts[1]), tensors >= 0, let bytes = Int(parts[2]), bytes >= 0
    else { return nil }
    self.manifest = manifest
    self.tensors = tensors
    self.bytes = bytes
  }
}
