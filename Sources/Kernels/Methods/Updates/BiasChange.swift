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
}
