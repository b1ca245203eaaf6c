import Foundation
import Kernels
import Safetensors

@testable import Operations

/// The cases of `Fixtures/estimate`, made by transformers and PEFT.
enum EstimateFixtures {
  static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/estimate").path

  static func json(_ name: String) throws -> JSONValue {
    try JSONValue.parse(Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")))
  }

  static func members(_ name: String) throws -> [(key: String, value: JSONValue)] {
    try json(name).object?.entries.map { ($0.key, $0.value) } ?? []
  }

  static func config(_ name: String) throws -> ArchitectureConfig {
    try ArchitectureConfig(path: "\(folder)/configs/\(name).json")
  }

  static func shapes(_ name: String) throws -> ModelShapes {
    try Architectures.shapes(config(name))
  }
}

extension ModelLayer {
  /// The tensors that the layer is stored as.
  var tensors: [(name: String, shape: [Int])] {
    if isTied { return [] }
    guard geometry.kind != .parameter else { return [(module, geometry.shape)] }
    let weight = ("\(module).weight", geometry.shape)
    return biasCount > 0 ? [weight, ("\(module).bias", [biasCount])] : [weight]
  }
}

/// A checkpoint of the given tensors, all zeros, in a folder that is removed with this object.
final class ZeroCheckpoint {
  let folder: String

  init(
    _ tensors: [(name: String, dtype: DType, shape: [Int])], contents: [String: [UInt8]] = [:],
    config: String? = nil
  ) throws {
    folder =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("estimate-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let writer = try SafetensorsWriter(
      path: "\(folder)/model.safetensors", layout: SafetensorsLayout(tensors: tensors))
    for tensor in writer.layout.tensors {
      try writer.write(
        contents[tensor.name] ?? [UInt8](repeating: 0, count: tensor.byteCount), to: tensor.name)
    }
    try writer.finish()
    if let config {
      try FileManager.default.copyItem(
        atPath: "\(EstimateFixtures.folder)/configs/\(config).json",
        toPath: "\(folder)/config.json")
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }
}
