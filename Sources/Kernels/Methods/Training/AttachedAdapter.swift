/// An adapter layer with its memory, on its frozen layer: what a trainer calls. Adds dropout on the
/// adapter's branch; a layer that transforms its input is no branch, and has none.
public final class AttachedAdapter<Scalar: TrainingScalar> {
  public let layer: any AdapterLayer<Scalar>
  public let parameters: ParameterView<Scalar>
  public let gradients: ParameterView<Scalar>
  private let base: any FrozenLayer<Scalar>
  private let products: any MatrixProducts<Scalar>
  private let workspace: Workspace<Scalar>
  private let derived: ScalarBuffer<Scalar>
  /// Where the numbers lie that `forward` leaves for `backward`. Adapters may share it of which one has
  /// gone backward before the next goes forward.
  public var kept = KeptMemory()

  public final class KeptMemory {
    private var buffer = ScalarBuffer<Scalar>(count: 0)

    public init() {}

    public var count: Int { buffer.count }

    func numbers(_ count: Int) -> UnsafeMutableBufferPointer<Scalar> {
      if buffer.count < count { buffer = ScalarBuffer(count: count) }
      return buffer.values
    }
  }

  /// - Parameters:
  ///   - parameters, gradients: `layer.parameterCount` numbers each, owned by the caller.
  public init(
    _ layer: any AdapterLayer<Scalar>, parameters: ParameterView<Scalar>,
    gradients: ParameterView<Scalar>, base: any FrozenLayer<Scalar>,
    products: any MatrixProducts<Scalar>, workspace: Workspace<Scalar>
  ) {
    precondition(
      parameters.values.count == layer.parameterCount
        && gradients.values.count == layer.parameterCount)
    self.layer = layer
    self.parameters = parameters
    self.gradients = gradients
    self.base = base
    self.products = products
    self.workspace = workspace
    derived = ScalarBuffer(count: layer.derivedCount)
  }

  /// Copies the adapter's tensors into the parameters.
  public func load(_ tensors: [String: AdapterTensor]) throws(MethodError) {
    var offset = 0
    for parameter in layer.parameters {
      guard let tensor = tensors[parameter.leaf] else {
        throw .missingTensor(leaf: parameter.leaf)
      }
      guard tensor.count == parameter.count else {
        throw .shape(
          leaf: parameter.leaf, found: tensor.shape, expected: "\(parameter.shape)")
      }
      for value in tensor.reals {
        parameters.values[offset] = Scalar(value)
        offset += 1
      }
    }
    parametersChanged()
  }

  /// The trained tensors as they are now.
  public func tensors() -> [String: AdapterTensor] {
    var result: [String: AdapterTensor] = [:]
    var offset = 0
    for parameter in layer.parameters {
      let values = parameters.vector(at: offset, count: parameter.count)
      result[parameter.leaf] = AdapterTensor(shape: parameter.shape, values.map { Float($0) })
      offset += parameter.count
    }
    return result
  }

  /// To be called after every change of the parameters.
  public func parametersChanged() {
    workspace.scope { layer.derive(pass(tokens: 0)) }
  }

  /// X → what the frozen weight is applied to, where `layer.transformsInput`.
  public func transformInput(
    _ input: MatrixView<Scalar>, into transformed: MatrixView<Scalar>
  ) {
    layer.transformInput(input, into: transformed, pass: pass(tokens: input.rows))
  }

  /// Completes `output`, which holds `X·W0ᵀ + b0`. With `dropout` the adapter sees the masked input.
  public func forward(
    _ input: MatrixView<Scalar>, output: MatrixView<Scalar>, dropout: DropoutMask? = nil
  ) {
    let dropout = onBranch(dropout)
    workspace.scope {
      let seen = dropped(input, by: dropout)
      layer.forward(
        seen, output: output, pass: pass(tokens: input.rows, dropped: dropout != nil))
    }
  }

  /// Adds the parameters' gradients and turns G into what the frozen weight passes on, in place.
  public func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>, dropout: DropoutMask? = nil
  ) {
    let dropout = onBranch(dropout)
    workspace.scope {
      let seen = layer.needsInput ? dropped(input, by: dropout) : input
      layer.backward(
        outputGradient, input: seen, gradients: gradients,
        pass: pass(tokens: input.rows, dropped: dropout != nil))
    }
  }

  /// Completes `inputGradient`, which holds `G'·W0`.
  public func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, dropout: DropoutMask? = nil
  ) {
    let dropout = onBranch(dropout)
    workspace.scope {
      var target = inputGradient
      if dropout != nil {
        target = workspace.matrix(rows: inputGradient.rows, columns: inputGradient.columns)
        target.fill(0)
      }
      layer.addInputGradient(
        to: target, outputGradient: outputGradient, input: input, gradients: gradients,
        pass: pass(tokens: inputGradient.rows, dropped: dropout != nil))
      dropout?.add(target, to: inputGradient)
    }
  }

  private func onBranch(_ dropout: DropoutMask?) -> DropoutMask? {
    layer.transformsInput ? nil : dropout
  }

  private func dropped(
    _ input: MatrixView<Scalar>, by dropout: DropoutMask?
  ) -> MatrixView<Scalar> {
    guard let dropout else { return input }
    let result = workspace.matrix(rows: input.rows, columns: input.columns)
    dropout.apply(to: input, into: result)
    return result
  }

  private func pass(tokens: Int, dropped: Bool = false) -> LayerPass<Scalar> {
    return LayerPass(
      parameters: parameters, derived: derived.values,
      kept: kept.numbers(layer.keptCount(tokens: tokens)), base: base,
      products: products, workspace: workspace, inputIsDropped: dropped)
  }
}
