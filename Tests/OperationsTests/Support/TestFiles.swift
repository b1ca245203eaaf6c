import Foundation
import Safetensors

/// The cases in `Fixtures`.
enum Fixture {
  static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures").path

  static func path(_ name: String) -> String { root + "/" + name }

  static let architectures = ["bert", "gpt2", "llama", "mixtral", "qwen", "vit"]

  /// `llama/lora`, …: every case that has an expected result.
  static let merges: [String] = architectures.flatMap { architecture in
    let names = (try? FileSystem.names(in: path(architecture))) ?? []
    return names.filter {
      FileSystem.isRegularFile(path("\(architecture)/\($0)/expected_changed.safetensors"))
    }.map { "\(architecture)/\($0)" }
  }

  /// The base of a case.
  static func base(of name: String) -> String {
    path(name.split(separator: "/")[0] + "/base")
  }
}

/// A folder that is removed with the test.
final class Scratch {
  let path: String

  init() throws {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "peft-tool-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  /// Names in the folder, hidden ones too.
  var names: [String] { (try? FileSystem.names(in: path)) ?? [] }
}

/// A tensor as it is stored.
struct StoredTensor: Equatable {
  var dtype: DType
  var shape: [Int]
  var bytes: [UInt8]

  init(dtype: DType, shape: [Int], bytes: [UInt8]) {
    self.dtype = dtype
    self.shape = shape
    self.bytes = bytes
  }

  /// The elements, exactly.
  var values: [Double] {
    switch dtype {
    case .f32: words(UInt32.self).map { Double(Float(bitPattern: $0)) }
    case .bf16: words(UInt16.self).map { Double(Float(bitPattern: UInt32($0) << 16)) }
    case .f16: words(UInt16.self).map { Double(Float16(bitPattern: $0)) }
    default: []
    }
  }

  /// The elements' places in the order of the floats of their type: neighbours differ by one.
  var places: [Int] {
    switch dtype {
    case .f32: words(UInt32.self).map { $0 >> 31 == 0 ? Int($0) : -Int($0 & 0x7FFF_FFFF) }
    default: words(UInt16.self).map { $0 >> 15 == 0 ? Int($0) : -Int($0 & 0x7FFF) }
    }
  }

  private func words<Word: FixedWidthInteger>(_: Word.Type) -> [Word] {
    bytes.withUnsafeBytes { raw in
      stride(from: 0, to: raw.count, by: MemoryLayout<Word>.size).map {
        Word(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: Word.self))
      }
    }
  }
}

/// All tensors of a model.
func readModel(_ path: String) throws -> [String: StoredTensor] {
  let checkpoint = try Checkpoint(path: path)
  var result: [String: StoredTensor] = [:]
  for tensor in checkpoint.tensors {
    result[tensor.name] = StoredTensor(
      dtype: tensor.info.dtype, shape: tensor.info.shape, bytes: try checkpoint.read(tensor))
  }
  return result
}

/// Writes one safetensors file.
func writeFile(
  _ path: String, _ tensors: [String: StoredTensor], metadata: [String: String] = [:]
) throws {
  let layout = try SafetensorsLayout(
    tensors: tensors.map { ($0.key, $0.value.dtype, $0.value.shape) },
    metadata: [(key: "format", value: "pt")]
      + metadata.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) })
  let output = try OutputFile(path: path)
  try output.write(layout.leadingBytes, at: 0)
  for tensor in layout.tensors {
    guard let stored = tensors[tensor.name] else { continue }
    try output.write(stored.bytes, at: layout.absoluteRange(of: tensor).lowerBound)
  }
  try output.close()
}

/// All files of a folder, by name.
func readFolder(_ path: String) throws -> [String: [UInt8]] {
  var result: [String: [UInt8]] = [:]
  for name in try FileSystem.names(in: path) {
    result[name] = try InputFile(path: path + "/" + name).readAll()
  }
  return result
}
