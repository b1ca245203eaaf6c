import Adapters
import Kernels
import Safetensors

/// ReLoRA: every so many steps the factors are frozen where they are, and new ones begin (Lialin et al.
/// 2023, 2307.05695). The adapter that comes out has the factors of all rounds side by side.
struct Restarts {
  let adapted: AdaptedModel
  /// Steps of a round.
  let interval: Int
  let seed: UInt64

  private var layers:
    [(path: String, adapter: AttachedAdapter<Float>, layer: RestartedLayer<Float>)]
  {
    adapted.adapters.compactMap { linear, adapter in
      (adapter.layer as? RestartedLayer<Float>).map { (linear.path, adapter, $0) }
    }
  }

  /// Rounds that ended before `step` more were taken.
  func rounds(before step: Int) -> Int { step / interval }

  /// Ends a round after `step` steps: B begins at zero again, A anew.
  func restart(after step: Int) throws {
    var generator = TorchGenerator(seed: seed &+ UInt64(rounds(before: step)))
    for (_, adapter, layer) in layers {
      let tensors = adapter.tensors()
      guard let a = tensors["lora_A.weight"], let b = tensors["lora_B.weight"] else { continue }
      layer.past.append(a: a.reals, b: Self.transposed(b.reals, columns: layer.rank))
      let inFeatures = layer.past.inFeatures
      try adapter.load([
        "lora_A.weight": AdapterTensor(
          shape: a.shape,
          generator.kaimingUniform(
            layer.rank * inFeatures, fanIn: inFeatures, slope: 5.0.squareRoot())),
        "lora_B.weight": AdapterTensor(shape: b.shape, [Float](repeating: 0, count: b.count)),
      ])
    }
  }

  /// The factors that were frozen, by tensor name.
  var state: [String: [Float]] {
    var state: [String: [Float]] = [:]
    for (path, _, layer) in layers where layer.past.rank > 0 {
      state[path + ".a"] = layer.past.a
      state[path + ".b"] = layer.past.b
    }
    return state
  }

  func restore(_ state: [String: [Float]]) {
    for (path, _, layer) in layers {
      guard let a = state[path + ".a"], let b = state[path + ".b"],
        a.count % layer.past.inFeatures == 0,
        b.count == a.count / layer.past.inFeatures * layer.past.outFeatures
      else { continue }
      layer.past.append(a: a, b: b)
    }
  }

  /// A tensor of the adapter with those of earlier rounds before it.
  func complete(_ entry: String, _ shape: [Int], _ values: [Float]) -> (shape: [Int], [Float]) {
    guard let found = layers.first(where: { entry.hasPrefix($0.path + ".lora_") }),
      found.layer.past.rank > 0
    else { return (shape, values) }
    let past = found.layer.past
    let rank = past.rank + found.layer.rank
    guard entry.hasSuffix("lora_B.weight") else {
      return ([rank, past.inFeatures], past.a + values)
    }
    let rows = past.b + Self.transposed(values, columns: found.layer.rank)
    return ([past.outFeatures, rank], Self.transposed(rows, columns: past.outFeatures))
  }

  /// The configuration of the complete adapter: the same scale at its larger rank.
  func complete(_ config: JSONObject) -> JSONObject {
    guard let layer = layers.first?.layer, layer.past.rank > 0 else { return config }
    var config = config
    let factor = Double(layer.past.rank + layer.rank) / Double(layer.rank)
    let isRooted = config["use_rslora"]?.bool ?? false
    if let alpha = config["lora_alpha"]?.number?.double {
      config["lora_alpha"] = .double(alpha * (isRooted ? factor.squareRoot() : factor))
    }
    config["r"] = .int(layer.past.rank + layer.rank)
    return config
  }

  private static func transposed(_ values: [Float], columns: Int) -> [Float] {
    let rows = values.count / columns
    var result = [Float](repeating: 0, count: values.count)
    for row in 0..<rows {
      for column in 0..<columns { result[column * rows + row] = values[row * columns + column] }
    }
    return result
  }
}
