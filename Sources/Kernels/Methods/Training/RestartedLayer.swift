/// The factors that earlier rounds of ReLoRA left behind on a layer: frozen, and part of the layer as if they
/// had been merged into its weight (Lialin et al. 2023, 2307.05695, algorithm 1).
///
/// Kept as factors, not merged: a base in 16 or 4 bits would lose most of a small change.
public final class PastFactors<Scalar: TrainingScalar>: @unchecked Sendable {
  public let inFeatures: Int
  public let outFeatures: Int
  /// Of all rounds together.
  public private(set) var rank = 0
  /// `rank × in`.
  public private(set) var a: [Float] = []
  /// `rank × out`: B, transposed.
  public private(set) var b: [Float] = []
  fileprivate var matrices: (a: FrozenMatrix<Scalar>, b: FrozenMatrix<Scalar>)?

  public init(inFeatures: Int, outFeatures: Int) {
    (self.inFeatures, self.outFeatures) = (inFeatures, outFeatures)
  }

  /// Adds a round. Not while a step runs.
  ///
  /// - Parameters:
  ///   - a: `r × in`.
  ///   - b: `r × out`.
  public func append(a: [Float], b: [Float]) {
    precondition(a.count % inFeatures == 0 && b.count == a.count / inFeatures * outFeatures)
    self.a += a
    self.b += b
    rank = self.a.count / inFeatures
    matrices = (
      FrozenMatrix(widening: self.a, rows: rank, columns: inFeatures),
      FrozenMatrix(widening: self.b, rows: rank, columns: outFeatures)
    )
  }
}

/// LoRA with the factors of earlier rounds: `Y = X·W0ᵀ + s·(X·Āᵀ)·B̄ᵀ + s·(X·Aᵀ)·Bᵀ`.
public struct RestartedLayer<Scalar: TrainingScalar>: AdapterLayer {
  private let layer: LoRALayer<Scalar>
  public let past: PastFactors<Scalar>

  /// - Parameter layer: a LoRA layer with both factors trained; nil is returned for others.
  public init?(_ layer: any AdapterLayer<Scalar>) {
    guard let layer = layer as? LoRALayer<Scalar>, layer.trainsBothFactors else { return nil }
    self.layer = layer
    past = PastFactors(inFeatures: layer.inFeatures, outFeatures: layer.outFeatures)
  }

  /// Numbers of a round's factors.
  public var rank: Int { layer.rank }
  public var parameters: [TrainableTensor] { layer.parameters }
  public var needsInput: Bool { layer.needsInput }
  public func keptCount(tokens: Int) -> Int { layer.keptCount(tokens: tokens) }

  public func forward(
    _ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>
  ) {
    layer.forward(input, output: output, pass: pass)
    guard let matrices = past.matrices else { return }
    let hidden = pass.workspace.matrix(rows: input.rows, columns: past.rank)
    matrices.a.withMatrix { pass.products.multiply(input, $0.transposed, into: hidden) }
    matrices.b.withMatrix { pass.products.add(hidden, $0, scale: layer.scale, to: output) }
  }

  public func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    layer.backward(outputGradient, input: input, gradients: gradients, pass: pass)
  }

  public func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    layer.addInputGradient(
      to: inputGradient, outputGradient: outputGradient, input: input, gradients: gradients,
      pass: pass)
    guard let matrices = past.matrices else { return }
    let hidden = pass.workspace.matrix(rows: outputGradient.rows, columns: past.rank)
    matrices.b.withMatrix {
      pass.products.multiply(outputGradient, $0.transposed, scale: layer.scale, into: hidden)
    }
    matrices.a.withMatrix { pass.products.add(hidden, $0, to: inputGradient) }
  }
}
