/// C³A: `W' = W0 + D`, D made of circulant blocks: `D[m·b + k, n·b + j] = w[m, n, (j − k) mod b] / in`.
///
/// Source: Chen et al. 2024 (2407.19342); the division by the full input size as PEFT.
public struct C3A: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "C³A", names: ["c3a"], peftTypes: ["C3A"],
    source: "Chen et al. 2024 (2407.19342)", roundedTwiceInPEFT: true, leaves: ["c3a_kernel"],
    settings: [], trainingSettings: ["block_size", "block_size_pattern", "init_weights"])

  private let layer: LayerGeometry
  private let kernel: AdapterTensor

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let shape = try shapes.required("c3a_kernel", dimensions: 3)
    if let layer {
      guard shape[0] * shape[2] == layer.outFeatures, shape[1] * shape[2] == layer.inFeatures
      else {
        throw .shape(
          leaf: "c3a_kernel", found: shape,
          expected: "[\(layer.outFeatures)/b, \(layer.inFeatures)/b, b]")
      }
    }
    return ModuleSummary(trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    kernel = try module.tensor("c3a_kernel")
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let inputs = Float(layer.inFeatures)
    return CirculantUpdate(
      blockRows: kernel.shape[0], blockColumns: kernel.shape[1], size: kernel.shape[2],
      values: kernel.reals.map { $0 / inputs })
  }
}

private struct CirculantUpdate: RowwiseDelta {
  let blockRows: Int
  let blockColumns: Int
  let size: Int
  /// The first row of every block.
  let values: [Float]

  var rows: Int { blockRows * size }
  var columns: Int { blockColumns * size }

  func makeRowWriter() -> (Int, UnsafeMutableBufferPointer<Float>) -> Void {
    { row, result in
      let (m, k) = (row / size, row % size)
      for n in 0..<blockColumns {
        let start = (m * blockColumns + n) * size
        for j in 0..<size {
          result[n * size + j] = values[start + (j < k ? j - k + size : j - k)]
        }
      }
    }
  }
}
