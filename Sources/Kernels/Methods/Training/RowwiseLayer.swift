/// The methods that act on whole rows of the weight, together on one linear layer:
/// `y = γ∘((W0 + b·aᵀ)·x + b0 + β)`, any of b, β, γ trained. With b alone it is 1LoRA, with β alone
/// BitFit, with β and γ DiffFit.
///
/// Kept: for b, `t = X·a`, one number per token, and one more for dX; for γ the output before
/// scaling, tokens × out. X itself is needed only where a is trained.
struct RowwiseLayer<Scalar: TrainingScalar>: AdapterLayer {
  enum Compression {
    /// a = 1.
    case sum
    /// a is trained.
    case learned
    /// a is given.
    case frozen(FrozenMatrix<Scalar>)
  }

  let inFeatures: Int
  let outFeatures: Int
  /// The leaf of b.
  var leaf = "onelora_b"
  /// nil without b.
  let compression: Compression?
  /// The leaf of β; nil without it.
  let bias: String?
  /// The leaf of γ; nil without it.
  let scale: String?

  var parameters: [TrainableTensor] {
    var result: [TrainableTensor] = []
    if compression != nil { result.append(TrainableTensor(leaf, [outFeatures])) }
    if isLearned { result.append(TrainableTensor("onelora_a", [inFeatures])) }
    if let bias { result.append(TrainableTensor(bias, [outFeatures])) }
    if let scale { result.append(TrainableTensor(scale, [outFeatures])) }
    return result
  }

  private var isLearned: Bool {
    if case .learned? = compression { true } else { false }
  }

  var needsInput: Bool { isLearned }

  func keptCount(tokens: Int) -> Int {
    (compression == nil ? 0 : 2 * tokens) + (scale == nil ? 0 : tokens * outFeatures)
  }

  /// The trained vectors in a view of the parameters or their gradients.
  private struct Vectors {
    var b: Row<Scalar>?
    var a: Row<Scalar>?
    var bias: Row<Scalar>?
    var scale: Row<Scalar>?
  }

  private func vectors(_ view: ParameterView<Scalar>) -> Vectors {
    var offset = 0
    func next(_ count: Int, if present: Bool) -> Row<Scalar>? {
      guard present else { return nil }
      defer { offset += count }
      return view.vector(at: offset, count: count)
    }
    return Vectors(
      b: next(outFeatures, if: compression != nil), a: next(inFeatures, if: isLearned),
      bias: next(outFeatures, if: bias != nil), scale: next(outFeatures, if: scale != nil))
  }

  /// Calls `body` with a; with nil for the sum.
  private func withCompressor(_ vectors: Vectors, _ body: (Row<Scalar>?) -> Void) {
    if case .frozen(let values)? = compression {
      values.withMatrix { body($0[0]) }
    } else {
      body(vectors.a)
    }
  }

  private func keptOutput(_ pass: LayerPass<Scalar>, tokens: Int) -> MatrixView<Scalar> {
    pass.kept(at: compression == nil ? 0 : 2 * tokens, rows: tokens, columns: outFeatures)
  }

  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>) {
    let vectors = vectors(pass.parameters)
    withCompressor(vectors) { a in
      pass.products.splitRows(output.rows, columns: inFeatures + outFeatures) { tokens in
        for token in tokens {
          let y = output[token]
          if let b = vectors.b {
            let x = input[token]
            let sum = a.map { Scalar.dot(x, $0) } ?? Scalar.sum(x)
            pass.kept[token] = sum
            Scalar.add(b, times: sum, to: y)
          }
          if let bias = vectors.bias { Scalar.add(bias, times: 1, to: y) }
          if let scale = vectors.scale {
            _ = keptOutput(pass, tokens: output.rows)[token].update(fromContentsOf: y)
            Scalar.multiply(y, by: scale)
          }
        }
      }
    }
  }

  /// `G' = γ∘G`, `db = G'ᵀt`, `da = Xᵀ(G'b)`, `dβ = Σ G'`, `dγ = Σ G∘(y/γ)`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    let vectors = vectors(pass.parameters)
    let sums = self.vectors(gradients)
    let tokens = outputGradient.rows
    // Columns are independent; along them, token after token.
    pass.products.splitColumns(outFeatures, rows: tokens) { columns in
      for token in 0..<tokens {
        let g = outputGradient[token].part(columns)
        if let scale = vectors.scale, let sum = sums.scale {
          let y = keptOutput(pass, tokens: tokens)[token]
          Scalar.add(g, times: y.part(columns), to: sum.part(columns))
          Scalar.multiply(g, by: scale.part(columns))
        }
        if let sum = sums.bias { Scalar.add(g, times: 1, to: sum.part(columns)) }
        if let sum = sums.b { Scalar.add(g, times: pass.kept[token], to: sum.part(columns)) }
      }
    }
    guard let b = vectors.b else { return }
    pass.products.splitRows(tokens, columns: outFeatures) { range in
      for token in range { pass.kept[tokens + token] = Scalar.dot(outputGradient[token], b) }
    }
    guard let sum = sums.a else { return }
    pass.products.splitColumns(inFeatures, rows: tokens) { columns in
      for token in 0..<tokens {
        let x = input[token].part(columns)
        Scalar.add(x, times: pass.kept[tokens + token], to: sum.part(columns))
      }
    }
  }

  /// `dX += (G'b)·aᵀ`.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>
  ) {
    guard compression != nil else { return }
    let tokens = inputGradient.rows
    withCompressor(vectors(pass.parameters)) { a in
      pass.products.splitRows(tokens, columns: inFeatures) { range in
        for token in range {
          let weighted = pass.kept[tokens + token]
          if let a {
            Scalar.add(a, times: weighted, to: inputGradient[token])
          } else {
            Scalar.add(weighted, to: inputGradient[token])
          }
        }
      }
    }
  }
}
