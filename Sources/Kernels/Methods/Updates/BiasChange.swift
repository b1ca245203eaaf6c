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

  func reverse(on bias: inout [Float], weight: Float) -> Bool {
    for index in bias.indices {
      let (addend, factor) = (addend?[index] ?? 0, factor?[index] ?? 1)
      let divisor = 1 + weight * (factor - 1)
      guard divisor != 0 else { return false }
      bias[index] = (bias[index] - weight * factor * addend) / divisor
    }
    return true
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
