import Synchronization

/// Tensors that the modules of an adapter share and that are drawn from a seed instead of stored. The
/// first module draws them, the others find them here.
final class DrawnTensors: Sendable {
  private let tensors = Mutex<[String: [String: AdapterTensor]]>([:])

  /// The tensors of `method`, made by `draw` when they are first asked for.
  func tensors(
    of method: String, draw: () throws(MethodError) -> [String: AdapterTensor]
  ) throws(MethodError) -> [String: AdapterTensor] {
    try tensors.withLock { (tensors) throws(MethodError) in
      if let known = tensors[method] { return known }
      let made = try draw()
      tensors[method] = made
      return made
    }
  }
}

extension AdapterContext {
  /// The shared tensors `names`: those of the file, or all of them drawn where one is missing.
  func shared(
    _ names: [String], draw: () throws(MethodError) -> [String: AdapterTensor]
  ) throws(MethodError) -> [AdapterTensor] {
    let missing = names.contains { shared[$0] == nil }
    let source = missing ? try drawn.tensors(of: names.joined(separator: " "), draw: draw) : shared
    var result: [AdapterTensor] = []
    for name in names {
      guard let tensor = source[name] else { throw .missingTensor(leaf: name) }
      result.append(tensor)
    }
    return result
  }
}

extension MethodSettings {
  /// The seed `name` as PyTorch takes it.
  func seed(_ name: String, default fallback: Int) throws(MethodError) -> UInt64 {
    UInt64(bitPattern: Int64(try integer(name) ?? fallback))
  }
}

extension LayerGeometry {
  /// `values` in the precision of this layer's weight, where PEFT keeps drawn tensors.
  func rounded(_ values: [Float]) -> [Float] { element.widened(element.rounded(values)) }
}
