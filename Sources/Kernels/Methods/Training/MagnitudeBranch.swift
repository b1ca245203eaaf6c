/// A low-rank change with a magnitude per output feature, in training:
/// `y = q∘(V·x) + b0`, `V = W0 + s·B·A`, `n_i = ‖V_i‖`, `q = m/n`. DoRA's arithmetic, whatever A and B
/// are made of.
///
/// Kept: `X·Aᵀ`, tokens × r, and `V·X`, tokens × out.
struct MagnitudeBranch<Scalar: TrainingScalar>: Sendable {
  let inFeatures: Int
  let outFeatures: Int
  let rank: Int
  let scale: Scalar
  /// n is a constant for the gradients of A and B (DoRA, equation 11).
  let isDetached: Bool

  /// A (r × in), B (out × r) and m (out), or their gradients.
  struct Factors {
    var a: MatrixView<Scalar>
    var b: MatrixView<Scalar>
    var magnitude: Row<Scalar>
  }

  /// n, q, q − 1, and for the full gradient `(V·Aᵀ)ᵀ`, r × out.
  private struct Derived {
    var norms: Row<Scalar>
    var ratios: Row<Scalar>
    var excess: Row<Scalar>
    var projections: MatrixView<Scalar>?
  }

  var derivedCount: Int { (3 + (isDetached ? 0 : rank)) * outFeatures }
  func keptCount(tokens: Int) -> Int { tokens * (rank + outFeatures) }

  private func derived(_ values: UnsafeMutableBufferPointer<Scalar>) -> Derived {
    let view = ParameterView(values)
    let out = outFeatures
    return Derived(
      norms: view.vector(count: out), ratios: view.vector(at: out, count: out),
      excess: view.vector(at: 2 * out, count: out),
      projections: isDetached ? nil : view.matrix(at: 3 * out, rows: rank, columns: out))
  }

  /// Norms without V: `n_i² = ‖W0_i‖² + s·⟨B_i, (W0·Aᵀ)_i + (V·Aᵀ)_i⟩`, `V·Aᵀ = W0·Aᵀ + s·B·(A·Aᵀ)`.
  func derive(
    _ factors: Factors, into values: UnsafeMutableBufferPointer<Scalar>, pass: LayerPass<Scalar>
  ) {
    let derived = derived(values)
    let workspace = pass.workspace
    let b = workspace.matrix(rows: rank, columns: outFeatures)
    b.copy(factors.b.transposed)
    let base = workspace.matrix(rows: rank, columns: outFeatures)
    pass.base.multiply(factors.a, into: base)
    let gram = workspace.matrix(rows: rank, columns: rank)
    pass.products.multiply(factors.a, factors.a.transposed, into: gram)
    let projections =
      derived.projections ?? workspace.matrix(rows: rank, columns: outFeatures)
    pass.products.multiply(gram, b, scale: scale, into: projections)
    let correction = workspace.vector(outFeatures)
    Scalar.fill(correction, with: 0)
    for k in 0..<rank {
      Scalar.add(base[k], times: 1, to: projections[k])
      Scalar.add(b[k], times: base[k], to: correction)
      Scalar.add(b[k], times: projections[k], to: correction)
    }
    for (row, square) in pass.base.squaredRowNorms().enumerated() {
      let norm = Scalar((square + Double(scale) * Double(correction[row])).squareRoot())
      derived.norms[row] = norm
      derived.ratios[row] = norm == 0 ? 1 : factors.magnitude[row] / norm
      derived.excess[row] = derived.ratios[row] - 1
    }
  }

  /// `Y += (q − 1)∘(W0·x) + q∘(s·B·A·x)`, so that Y stays as it is where q = 1 and B = 0.
  func forward(
    _ input: MatrixView<Scalar>, output: MatrixView<Scalar>, factors: Factors,
    derived values: UnsafeMutableBufferPointer<Scalar>, pass: LayerPass<Scalar>
  ) {
    let derived = derived(values)
    let tokens = input.rows
    let hidden = pass.kept(rows: tokens, columns: rank)
    let product = pass.kept(at: tokens * rank, rows: tokens, columns: outFeatures)
    pass.products.multiply(input, factors.a.transposed, into: hidden)
    pass.products.multiply(hidden, factors.b.transposed, scale: scale, into: product)
    let base = pass.workspace.matrix(
      rows: pass.inputIsDropped ? tokens : 0, columns: outFeatures)
    if pass.inputIsDropped { pass.base.multiply(input, into: base) }
    let bias = pass.base.bias
    pass.products.splitRows(tokens, columns: outFeatures) { range in
      withUnsafeTemporaryAllocation(of: Scalar.self, capacity: outFeatures) { room in
        for token in range {
          let (y, vx) = (output[token], product[token])
          var wx = room
          if pass.inputIsDropped {
            wx = base[token]
          } else {
            _ = wx.update(fromContentsOf: y)
            if let bias { Scalar.add(bias, times: -1, to: wx) }
          }
          Scalar.add(derived.excess, times: wx, to: y)
          Scalar.add(derived.ratios, times: vx, to: y)
          Scalar.add(wx, times: 1, to: vx)
        }
      }
    }
  }

  /// With `Gq = q∘G`: `dB = s·Gqᵀ(XAᵀ)`, `dA = s·(Gq·B)ᵀX`, `dm = Σ G∘(V·x) / n`; the full gradient
  /// takes the radial part `⟨dV_i, V_i⟩/n_i² · V_i` out of every row of dV.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>, factors: Factors,
    gradients: Factors, derived values: UnsafeMutableBufferPointer<Scalar>,
    pass: LayerPass<Scalar>
  ) {
    let derived = derived(values)
    let tokens = outputGradient.rows
    let hidden = pass.kept(rows: tokens, columns: rank)
    let product = pass.kept(at: tokens * rank, rows: tokens, columns: outFeatures)
    let inner = pass.workspace.vector(outFeatures)
    Scalar.fill(inner, with: 0)
    // With dropout G itself goes on to the frozen weight.
    var scaled = outputGradient
    if pass.inputIsDropped {
      scaled = pass.workspace.matrix(rows: tokens, columns: outFeatures)
      scaled.copy(outputGradient)
    }
    pass.products.splitColumns(outFeatures, rows: tokens) { columns in
      for token in 0..<tokens {
        let g = scaled[token].part(columns)
        Scalar.add(g, times: product[token].part(columns), to: inner.part(columns))
        Scalar.multiply(g, by: derived.ratios.part(columns))
      }
    }
    pass.products.add(scaled.transposed, hidden, scale: scale, to: gradients.b)
    pass.products.multiply(scaled, factors.b, scale: scale, into: hidden)
    pass.products.add(hidden.transposed, input, to: gradients.a)
    if let projections = derived.projections {
      removeRadialPart(
        inner: inner, projections: projections, derived: derived, factors: factors,
        gradients: gradients, pass: pass)
    }
    for row in 0..<outFeatures where derived.norms[row] != 0 {
      gradients.magnitude[row] += inner[row] / derived.norms[row]
    }
  }

  /// With `ρ_i = ⟨dV_i, V_i⟩/n_i²`: `dB_i −= s·ρ_i·(V·Aᵀ)_i`, `dA −= s·(ρ∘B)ᵀ(W0 + s·B·A)`.
  private func removeRadialPart(
    inner: Row<Scalar>, projections: MatrixView<Scalar>, derived: Derived, factors: Factors,
    gradients: Factors, pass: LayerPass<Scalar>
  ) {
    let workspace = pass.workspace
    let radial = workspace.vector(outFeatures)
    let column = workspace.vector(rank)
    for row in 0..<outFeatures {
      let norm = derived.norms[row]
      radial[row] = norm == 0 ? 0 : derived.ratios[row] * inner[row] / (norm * norm)
      Scalar.gather(projections.start + row, step: projections.rowStride, into: column)
      Scalar.add(column, times: -scale * radial[row], to: gradients.b[row])
    }
    let weighted = workspace.matrix(rows: rank, columns: outFeatures)
    weighted.copy(factors.b.transposed)
    for k in 0..<rank { Scalar.multiply(weighted[k], by: radial) }
    let product = workspace.matrix(rows: rank, columns: inFeatures)
    pass.base.multiplyTransposed(weighted, into: product)
    let gram = workspace.matrix(rows: rank, columns: rank)
    pass.products.multiply(weighted, factors.b, into: gram)
    pass.products.add(gram, factors.a, scale: scale, to: product)
    for k in 0..<rank { Scalar.add(product[k], times: -scale, to: gradients.a[k]) }
  }

  /// `dX += s·(Gq·B)·A`; with dropout also `((q − 1)∘G)·W0`.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>, factors: Factors,
    derived values: UnsafeMutableBufferPointer<Scalar>, pass: LayerPass<Scalar>
  ) {
    let tokens = inputGradient.rows
    if pass.inputIsDropped {
      let excess = derived(values).excess
      let correction = pass.workspace.matrix(rows: tokens, columns: outFeatures)
      correction.copy(outputGradient)
      for token in 0..<tokens { Scalar.multiply(correction[token], by: excess) }
      let product = pass.workspace.matrix(rows: tokens, columns: inFeatures)
      pass.base.multiplyTransposed(correction, into: product)
      for token in 0..<tokens { Scalar.add(product[token], times: 1, to: inputGradient[token]) }
    }
    pass.products.add(
      pass.kept(rows: tokens, columns: rank), factors.a, to: inputGradient)
  }
}
