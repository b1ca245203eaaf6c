extension IA3: TrainableMethod {
  public static func tensors(
    layer: LayerGeometry, settings: MethodSettings
  ) throws(MethodError) -> [MethodTensor] {
    guard layer.kind == .linear else {
      throw .layer(reason: "(IA)³ is trained on linear layers")
    }
    return [
      isFeedForward(layer.module, settings)
        ? MethodTensor("ia3_l", [1, layer.inFeatures])
        : MethodTensor("ia3_l", [layer.outFeatures, 1])
    ]
  }

  /// l = 1.
  public static func initialTensors(
    _ start: ModuleStart, generator: inout TorchGenerator
  ) throws(MethodError) -> [String: AdapterTensor] {
    try startingTensors(start) { _ in 1 }
  }

  public func trainingLayer<Scalar: TrainingScalar>(
    _ scalar: Scalar.Type
  ) throws(MethodError) -> any AdapterLayer<Scalar> {
    guard layer.kind == .linear else {
      throw .layer(reason: "(IA)³ is trained on linear layers")
    }
    if scalesInputs { return InputScaling<Scalar>(inFeatures: layer.inFeatures) }
    return OutputScaling<Scalar>(outFeatures: layer.outFeatures)
  }
}

/// `y = l∘(W0·x + b0)`. Kept: the output before scaling, tokens × out.
private struct OutputScaling<Scalar: TrainingScalar>: AdapterLayer {
  let outFeatures: Int
  var parameters: [TrainableTensor] { [TrainableTensor("ia3_l", [outFeatures, 1])] }
  var needsInput: Bool { false }
  func keptCount(tokens: Int) -> Int { tokens * outFeatures }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let kept = pass.kept(rows: output.rows, columns: outFeatures)
    pass.products.splitRows(output.rows, columns: outFeatures) { tokens in
      for token in tokens {
        _ = kept[token].update(fromContentsOf: output[token])
        Scalar.multiply(output[token], by: pass.parameters.values)
      }
    }
  }

  /// `dl = Σ G∘(y/l)`, `G' = l∘G`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let kept = pass.kept(rows: outputGradient.rows, columns: outFeatures)
    pass.products.splitColumns(outFeatures, rows: outputGradient.rows) { columns in
      for token in 0..<outputGradient.rows {
        let g = outputGradient[token].part(columns)
        Scalar.add(g, times: kept[token].part(columns), to: gradients.values.part(columns))
        Scalar.multiply(g, by: pass.parameters.values.part(columns))
      }
    }
  }

  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {}
}

/// `y = W0·(l∘x) + b0`.
private struct InputScaling<Scalar: TrainingScalar>: AdapterLayer {
  let inFeatures: Int
  var parameters: [TrainableTensor] { [TrainableTensor("ia3_l", [1, inFeatures])] }
  var transformsInput: Bool { true }

  func transformInput(
    _ input: MatrixView<Scalar>, into transformed: MatrixView<Scalar>, pass: LayerPass<Scalar>
  ) {
    pass.products.splitRows(input.rows, columns: inFeatures) { tokens in
      transformed.rows(tokens).copy(input.rows(tokens))
      for token in tokens { Scalar.multiply(transformed[token], by: pass.parameters.values) }
    }
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {}

  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {}

  /// With D the gradient of l∘x: `dl = Σ D∘x`, `dx = l∘D`.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    pass.products.splitColumns(inFeatures, rows: inputGradient.rows) { columns in
      for token in 0..<inputGradient.rows {
        let d = inputGradient[token].part(columns)
        Scalar.add(d, times: input[token].part(columns), to: gradients.values.part(columns))
        Scalar.multiply(d, by: pass.parameters.values.part(columns))
      }
    }
  }
}
