import Adapters
import Kernels
import Operations
import Safetensors

import class Foundation.FileManager

/// The adapter of a run as a PEFT folder: the one that it started from, with trained values.
struct TrainedAdapter {
  let start: AdapterFile
  let adapted: AdaptedModel
  /// The rounds of ReLoRA whose factors belong to the adapter.
  var restarts: Restarts?

  /// Writes configuration and weights into `folder`, which exists.
  ///
  /// - Parameter values: the parameters in the order of their buffer; nil: as they are now.
  func write(into folder: String, values: [Float]? = nil) throws {
    let part = FileSystem.join(folder, "adapter")
    let output = try AdapterOutput(at: part, replacing: true)
    var trained: [String: TrainableParameters<Float>.Entry] = [:]
    for entry in adapted.parameters.entries {
      for name in adapted.fileNames[entry.name] ?? [] { trained[name] = entry }
    }
    for tensor in start.weights.header.tensors {
      guard let entry = trained[tensor.name] else {
        output.copy(tensor, of: start.weights, as: tensor.name)
        continue
      }
      let current =
        values.map { Array($0[entry.range]) }
        ?? Array(adapted.parameters.values.values[entry.range])
      let (shape, values) =
        restarts?.complete(entry.name, tensor.shape, current) ?? (tensor.shape, current)
      try output.add(tensor.name, shape, values)
    }
    try output.commit(config: restarts?.complete(start.config.json) ?? start.config.json)
    for name in [AdapterFile.configName, AdapterFile.weightsName] {
      try FileManager.default.moveItem(
        atPath: FileSystem.join(part, name), toPath: FileSystem.join(folder, name))
    }
    try FileManager.default.removeItem(atPath: part)
  }
}
