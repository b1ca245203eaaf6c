import Adapters
import Kernels
import Safetensors

/// A model made deeper by repeating its layers (`layer_replication`): the adapter sits on the
/// repetitions, so the merged model must have each of them as tensors of its own.
struct LayerReplication: Sendable, Equatable {
  /// The base layer that each layer of the output repeats.
  let layers: [Int]
  private let path: String

  /// The replication that `adapters` share; nil when they have none.
  init?(_ adapters: [AdapterContents]) throws(AdapterError) {
    var found: LayerReplication?
    for adapter in adapters {
      let own = try LayerReplication(adapter.file.config)
      if let found, found.layers != own?.layers {
        throw .layerReplication(
          path: adapter.file.path, reason: "the adapters repeat layers differently")
      }
      if found == nil, adapter.file.path != adapters[0].file.path, own != nil {
        throw .layerReplication(
          path: adapter.file.path, reason: "the adapters repeat layers differently")
      }
      found = own
    }
    guard let found else { return nil }
    self = found
  }

  private init?(_ config: AdapterConfig) throws(AdapterError) {
    guard let setting = config.settings["layer_replication"] else { return nil }
    guard case .list(let ranges) = setting else {
      throw .layerReplication(path: config.path, reason: "it is no list of [start, end)")
    }
    var layers: [Int] = []
    for range in ranges {
      guard case .list(let ends) = range, ends.count == 2, case .integer(let start) = ends[0],
        case .integer(let end) = ends[1], start >= 0, end > start, end - start <= 1 << 16
      else {
        throw .layerReplication(path: config.path, reason: "it is no list of [start, end)")
      }
      layers += start..<end
    }
    guard !layers.isEmpty else { return nil }
    self.layers = layers
    self.path = config.path
  }

  private static let containers: Set<String> = ["layers", "h", "layer", "block", "blocks"]

  /// The model with its layers repeated; every repetition reads the bytes of the layer it repeats.
  func applied(to base: BaseModel) throws(AdapterError) -> BaseModel {
    var repeated: [BaseModel.Tensor] = []
    var known: Set<Int> = []
    for tensor in base.tensors {
      var segments = tensor.name.split(separator: ".").map(String.init)
      let at = segments.indices.dropFirst().first {
        Self.containers.contains(segments[$0 - 1]) && Int(segments[$0]) != nil
      }
      guard let at, let layer = Int(segments[at]) else {
        repeated.append(tensor)
        continue
      }
      known.insert(layer)
      for (position, source) in layers.enumerated() where source == layer {
        segments[at] = String(position)
        var copy = tensor
        copy.name = segments.joined(separator: ".")
        repeated.append(copy)
      }
    }
    if let missing = layers.first(where: { !known.contains($0) }) {
      throw .layerReplication(path: path, reason: "the base has no layer \(missing)")
    }
    return base.replacingTensors(repeated)
  }
}
