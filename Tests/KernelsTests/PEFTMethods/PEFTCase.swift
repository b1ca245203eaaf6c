import Foundation
import Testing

@testable import Kernels

/// An adapter that PEFT wrote, the model it belongs to, and what PEFT merged them to.
struct PEFTCase: CustomTestStringConvertible {
  static let folder = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fixtures/peft-methods")

  /// The names of all cases.
  static var all: [String] {
    let items = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return items.filter {
      FileManager.default.fileExists(atPath: folder.appending(path: "\($0)/case.json").path)
    }.sorted()
  }

  let name: String
  let peftType: String
  let settings: [String: Setting]
  let base: [String: StoredTensor]
  let expected: [String: StoredTensor]
  /// PEFT's count of trained parameters.
  let trained: Int
  var modules: [Module] = []
  var shared: [String: AdapterTensor] = [:]

  struct Module {
    var layer: LayerGeometry
    var weight: String
    var bias: String
    var settings: MethodSettings
    var tensors: [String: AdapterTensor]
    var method: any AdapterMethod.Type
  }

  var testDescription: String { name }

  init(_ name: String) throws {
    struct Facts: Decodable {
      var base: String
      var trained: Int
    }
    let directory = Self.folder.appending(path: name)
    func file(_ name: String) -> URL { directory.appending(path: name) }
    self.name = name
    let facts = try JSONDecoder().decode(
      Facts.self, from: try Data(contentsOf: file("case.json")))
    trained = facts.trained
    guard
      case .table(let config) = try JSONDecoder().decode(
        JSONSetting.self, from: try Data(contentsOf: file("adapter_config.json"))
      ).setting
    else { throw CocoaError(.fileReadCorruptFile) }
    settings = Dictionary(uniqueKeysWithValues: config.map { ($0.key, $0.value) })
    guard case .text(let type)? = settings["peft_type"] else {
      throw CocoaError(.fileReadCorruptFile)
    }
    peftType = type
    var base = try readTensors(Self.folder.appending(path: "base.\(facts.base).safetensors"))
    let expected = try readTensors(file("expected.safetensors"))
    for (key, tensor) in expected where key.hasPrefix("base:") {
      base[String(key.dropFirst("base:".count))] = tensor
    }
    self.base = base
    self.expected = expected.filter { !$0.key.hasPrefix("base:") }
    try readModules(file("adapter_model.safetensors"))
  }

  private mutating func readModules(_ url: URL) throws {
    let layers = try Layer.all()
    var tensors: [String: [String: AdapterTensor]] = [:]
    for (key, tensor) in try readTensors(url) {
      var rest = Substring(key)
      guard rest.hasPrefix("base_model.model.") else {
        shared[String(rest.dropFirst("base_model.".count))] = tensor.adapterTensor
        continue
      }
      rest = rest.dropFirst("base_model.model.".count)
      let path = rest.replacing(".base_layer.", with: ".")
      let owners = layers.filter { path.hasPrefix($0.name + ".") }
      let owner = try #require(owners.max { $0.name.count < $1.name.count }, "\(key)")
      let leaf = String(path.dropFirst(owner.name.count + 1))
      tensors[owner.name, default: [:]][leaf] = tensor.adapterTensor
    }
    for layer in layers {
      // A module of Uni-LoRA need not have tensors of its own.
      guard let own = tensors[layer.name] ?? (isTarget(layer.name) ? [:] : nil) else { continue }
      let geometry = try #require(layer.geometry(base))
      let methods = MethodRegistry.methods(peftType: peftType)
      let patterns = methods.flatMap { $0.descriptor.patterns }
      var resolved = resolve(patterns, for: layer.name)
      if layer.name == "mha.out_proj" {
        resolved = resolved.setting("multihead_out_proj", to: .bool(true))
      }
      guard
        let method = MethodRegistry.method(
          peftType: peftType, shapes: own.mapValues(\.shape), settings: resolved)
      else { throw CocoaError(.featureUnsupported) }
      modules.append(
        Module(
          layer: geometry, weight: layer.weight, bias: layer.bias, settings: resolved,
          tensors: own, method: method))
    }
  }

  private func isTarget(_ module: String) -> Bool {
    guard tensorsMayBeMissing, case .list(let targets)? = settings["target_modules"] else {
      return false
    }
    return targets.contains {
      if case .text(let name) = $0 { module == name || module.hasSuffix("." + name) } else { false }
    }
  }

  private var tensorsMayBeMissing: Bool { peftType == "UNILORA" }

  /// The settings with every pattern that matches `module` put into its setting.
  private func resolve(_ patterns: [SettingPattern], for module: String) -> MethodSettings {
    var result = MethodSettings(settings)
    for pattern in patterns {
      guard case .table(let table)? = settings[pattern.table] else { continue }
      let hit = table.first { entry in
        switch pattern.rule {
        case .wholeOrSuffix:
          (try? Regex("(.*\\.)?(\(entry.key))$").prefixMatch(in: module)) != nil
        case .suffix: (try? Regex(".*\\.\(entry.key)$").prefixMatch(in: module)) != nil
        case .search: (try? Regex(entry.key).firstMatch(in: module)) != nil
        }
      }
      if let hit { result = result.setting(pattern.setting, to: hit.value) }
    }
    return result
  }

  var context: AdapterContext {
    AdapterContext(shared: shared, layers: modules.map(\.layer))
  }
}

/// A module of the model of the cases.
private struct Layer: Decodable {
  var name: String
  var kind: String
  var transposed: Bool

  static func all() throws -> [Layer] {
    let url = PEFTCase.folder.appending(path: "layers.json")
    return try JSONDecoder().decode([Layer].self, from: try Data(contentsOf: url))
      + ["mha", "mha.out_proj"].map { Layer(name: $0, kind: "linear", transposed: false) }
  }

  var weight: String { name == "mha" ? "mha.in_proj_weight" : name + ".weight" }
  var bias: String { name == "mha" ? "mha.in_proj_bias" : name + ".bias" }

  func geometry(_ base: [String: StoredTensor]) -> LayerGeometry? {
    guard let stored = base[weight] else { return nil }
    let kinds: [String: LayerGeometry.Kind] = [
      "linear": .linear, "embedding": .embedding, "convolution": .convolution,
    ]
    return LayerGeometry(
      module: name, kind: kinds[kind] ?? .parameter, shape: stored.shape,
      storedTransposed: transposed,
      element: ["F32": .f32, "BF16": .bf16, "F16": .f16][stored.dtype] ?? .f32,
      hasBias: base[bias] != nil)
  }
}
