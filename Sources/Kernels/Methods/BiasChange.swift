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

  func reverse(on bias: inout [Float], weight: Float) -> Bool {
    for index in bias.indices {
      let (addend, factor) = (addend?[index] ?? 0, factor?[index] ?? 1)
      let divisor = 1 + weight * (factor - 1)
      guard divisor != 0 else { return false }
      bias[index] = (bias[index] - weight * factor * addend) / divisor
    }
    return true
  }
}
