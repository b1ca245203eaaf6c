/// VeRA with a magnitude on one linear layer: DoRA's branch with the factors `diag(d)·A` and
/// `diag(b)·B`, through which the gradients of d and b are chained.
struct DVoRALayer<Scalar: TrainingScalar>: AdapterLayer {
  private let projections: VectorProjections<Scalar>
  private let branch: MagnitudeBranch<Scalar>
  var scalesBias: Bool { false }

  init(projections: VectorProjections<Scalar>, isDetached: Bool) {
    self.projections = projections
    branch = MagnitudeBranch(
      inFeatures: projections.inFeatures, outFeatures: projections.outFeatures,
      rank: projections.rank, scale: 1, isDetached: isDetached)
  }

  private var rank: Int { branch.rank }
  private var outFeatures: Int { branch.outFeatures }

  var parameters: [TrainableTensor] {
    [
      TrainableTensor("vera_lambda_b", [outFeatures]), TrainableTensor("vera_lambda_d", [rank]),
      TrainableTensor("vera_magnitude_vector", [outFeatures]),
    ]
  }

  /// The branch's, then the factors.
  var derivedCount: Int {
    branch.derivedCount + rank * (branch.inFeatures + outFeatures)
  }
  func keptCount(tokens: Int) -> Int { branch.keptCount(tokens: tokens) }

  private func magnitude(_ view: ParameterView<Scalar>) -> Row<Scalar> {
    view.vector(at: outFeatures + rank, count: outFeatures)
  }

  private func factors(_ pass: LayerPass<Scalar>) -> MagnitudeBranch<Scalar>.Factors {
    let view = ParameterView(pass.derived)
    let start = branch.derivedCount
    return MagnitudeBranch.Factors(
      a: view.matrix(at: start, rows: rank, columns: branch.inFeatures),
      b: view.matrix(
        at: start + rank * branch.inFeatures, rows: outFeatures, columns: rank),
      magnitude: magnitude(pass.parameters))
  }

  func derive(_ pass: LayerPass<Scalar>) {
    let factors = factors(pass)
    let b = pass.parameters.vector(count: outFeatures)
    let d = pass.parameters.vector(at: outFeatures, count: rank)
    projections.with { projectionA, projectionB in
      factors.a.copy(projectionA)
      factors.b.copy(projectionB)
    }
    for k in 0..<rank { Scalar.multiply(factors.a[k], by: d[k]) }
    for row in 0..<outFeatures { Scalar.multiply(factors.b[row], by: b[row]) }
    branch.derive(factors, into: pass.derived, pass: pass)
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    branch.forward(
      input, output: output, factors: factors(pass), derived: pass.derived, pass: pass)
  }

  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let a = pass.workspace.matrix(rows: rank, columns: branch.inFeatures)
    let b = pass.workspace.matrix(rows: outFeatures, columns: rank)
    a.fill(0)
    b.fill(0)
    branch.backward(
      outputGradient, input: input, factors: factors(pass),
      gradients: MagnitudeBranch.Factors(a: a, b: b, magnitude: magnitude(gradients)),
      derived: pass.derived, pass: pass)
    let sumB = gradients.vector(count: outFeatures)
    let sumD = gradients.vector(at: outFeatures, count: rank)
    projections.with { projectionA, projectionB in
      for row in 0..<outFeatures { sumB[row] += Scalar.dot(b[row], projectionB[row]) }
      for k in 0..<rank { sumD[k] += Scalar.dot(a[k], projectionA[k]) }
    }
  }

  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    branch.addInputGradient(
      to: inputGradient, outputGradient: outputGradient, factors: factors(pass),
      derived: pass.derived, pass: pass)
  }
}
