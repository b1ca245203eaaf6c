/// `bias' = factor ∘ (bias + addend)`, each operation rounded to f32; a missing part is left out.
struct BiasChange: BiasUpdate {
  var addend: [Float]?
  var factor: [Float]?

  func apply(to bias: inout [Float], weight: any RowSource) {
    if let addend {
      for index in bias.indices { bias[index] += addend[index] }
    }
    if let factor {
      for index in bias.indices { bias[index] *= factor[index] }
    }
  }

  /// `bias / factor − addend`; nil where a factor is 0.
  func inverse() -> (any BiasUpdate)? {
    if let factor, factor.contains(0) { return nil }
    return Opposite(change: self)
  }

  private struct Opposite: BiasUpdate {
    let change: BiasChange

    func apply(to bias: inout [Float], weight: any RowSource) {
      for index in bias.indices {
        if let factor = change.factor { bias[index] /= factor[index] }
        if let addend = change.addend { bias[index] -= addend[index] }
      }
    }

    func inverse() -> (any BiasUpdate)? { change }
  }
}
