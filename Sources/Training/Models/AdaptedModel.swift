import Kernels

/// A model with everything that is trained in it, in one flat buffer.
public final class AdaptedModel {
  public let model: TransformerModel
  public let parameters: TrainableParameters<Float>
  public let adapters: [(linear: Linear, adapter: AttachedAdapter<Float>)]
  /// Trained tensors of the base.
  public let tensors: [BaseTensor]
  /// The tensors of the adapter's file that each entry of the parameters came from.
  public internal(set) var fileNames: [String: [String]] = [:]
  /// Adapters beside feed-forwards.
  private let parallel: [AttachedAdapter<Float>]

  /// - Parameters:
  ///   - adapters: the layers' adapters, and the tensors that they start from, by leaf.
  ///   - additions: what is trained beside the layers; its parameters follow the adapters'.
  ///   - tensors: those of the base that are trained themselves.
  public init(
    _ model: TransformerModel,
    adapters: [(linear: Linear, layer: any AdapterLayer<Float>, start: [String: AdapterTensor])],
    additions: [ModelAddition] = [], tensors: [BaseTensor] = []
  ) throws(MethodError) {
    if let tensor = tensors.first(where: \.isQuantized) {
      throw .layer(reason: "\(tensor.name) is quantized and cannot be trained itself")
    }
    self.model = model
    self.tensors = tensors
    parameters = TrainableParameters(
      adapters.flatMap { entry in
        entry.layer.parameters.map { (name: "\(entry.linear.path).\($0.leaf)", shape: $0.shape) }
      } + additions.flatMap(model.parameters(of:))
        + tensors.map { (name: $0.name, shape: $0.shape) })

    // Base tensors first: an adapter looks at the bias of its layer where it lies.
    let context = model.context
    var entry = adapters.reduce(0) { $0 + $1.layer.parameters.count }
    var parallel: [AttachedAdapter<Float>] = []
    for addition in additions {
      let end = entry + model.parameters(of: addition).count
      let views = parameters.views(entries: entry..<end)
      if let adapter = try model.attach(
        addition, values: views.values, gradients: views.gradients)
      {
        parallel.append(adapter)
      }
      entry = end
    }
    self.parallel = parallel
    for tensor in tensors {
      let views = parameters.views(entries: entry..<entry + 1)
      tensor.train(
        values: views.values.values, gradient: views.gradients.values, owner: parameters)
      entry += 1
    }
    entry = 0
    var attached: [(linear: Linear, adapter: AttachedAdapter<Float>)] = []
    for (linear, layer, start) in adapters {
      let end = entry + layer.parameters.count
      let views = parameters.views(entries: entry..<end)
      let adapter = AttachedAdapter(
        layer, parameters: views.values, gradients: views.gradients,
        base: linear.frozen(context), products: context.products, workspace: context.workspace)
      try adapter.load(start)
      linear.adapter = adapter
      attached.append((linear, adapter))
      entry = end
    }
    self.adapters = attached
    model.arrangeAdapters()
  }

  /// To be called after every change of the parameters.
  public func parametersChanged() {
    for (_, adapter) in adapters { adapter.parametersChanged() }
    for adapter in parallel { adapter.parametersChanged() }
  }
}
