/// All trained numbers of a model in one flat buffer, their gradients in another: what an optimiser
/// walks.
public final class TrainableParameters<Scalar: TrainingScalar> {
  /// A tensor's place in the buffers.
  public struct Entry: Sendable, Equatable {
    /// The module's path and the tensor's leaf: `model.layers.0.self_attn.q_proj.lora_A.weight`.
    public var name: String
    public var shape: [Int]
    public var range: Range<Int>
  }

  public let entries: [Entry]
  public let values: ScalarBuffer<Scalar>
  public let gradients: ScalarBuffer<Scalar>

  /// Places the tensors in the given order. All numbers start at zero.
  public init(_ tensors: [(name: String, shape: [Int])]) {
    var entries: [Entry] = []
    var end = 0
    for tensor in tensors {
      let count = tensor.shape.reduce(1, *)
      entries.append(Entry(name: tensor.name, shape: tensor.shape, range: end..<end + count))
      end += count
    }
    self.entries = entries
    values = ScalarBuffer(count: end)
    gradients = ScalarBuffer(count: end)
  }

  /// The tensors of `layers`, each under its module's path.
  public convenience init(layers: [(module: String, layer: any AdapterLayer<Scalar>)]) {
    self.init(
      layers.flatMap { module, layer in
        layer.parameters.map { (name: "\(module).\($0.leaf)", shape: $0.shape) }
      })
  }

  /// Parameters and gradients of the entries `range`, which follow each other in the buffers.
  public func views(
    entries range: Range<Int>
  ) -> (values: ParameterView<Scalar>, gradients: ParameterView<Scalar>) {
    let start = range.isEmpty ? 0 : entries[range.lowerBound].range.lowerBound
    let end = range.isEmpty ? 0 : entries[range.upperBound - 1].range.upperBound
    return (
      ParameterView(UnsafeMutableBufferPointer(rebasing: values.values[start..<end])),
      ParameterView(UnsafeMutableBufferPointer(rebasing: gradients.values[start..<end]))
    )
  }
}
