import Kernels

/// Trained vectors that every sequence begins with: `prompt_embeddings` of PEFT's files.
final class VirtualTokens {
  enum Place {
    /// Rows before the input embeddings (Lester et al. 2021), `tokens × width`.
    case input
    /// Keys and values before those of every attention (Li and Liang 2021),
    /// `tokens × layers·2·keyWidth`: of each layer the key, then the value.
    case attention
  }

  let place: Place
  let values: Matrix
  let gradients: Matrix

  init(_ place: Place, values: Matrix, gradients: Matrix) {
    (self.place, self.values, self.gradients) = (place, values, gradients)
  }

  var count: Int { values.rows }

  /// The prefix of layer `number` of `layers`.
  func prefix(layer number: Int, of layers: Int) -> AttentionPrefix {
    let width = values.columns / (2 * layers)
    let key = 2 * number * width..<(2 * number + 1) * width
    let value = (2 * number + 1) * width..<(2 * number + 2) * width
    return AttentionPrefix(
      key: values.columns(key), value: values.columns(value), keyGradient: gradients.columns(key),
      valueGradient: gradients.columns(value))
  }

  /// The input as the model reads it with them: positions are counted from the first virtual token, and
  /// where they are part of the input, virtual token k has the id −1 − k.
  ///
  /// A classifier that looks at the first token looks at a virtual one, as PEFT's does.
  func extend(_ input: ModelInput, task: TransformerModel.Task) -> ModelInput {
    var result = input
    let layout = input.layout
    let shifted = layout.positions.map { $0 + Int32(count) }
    let lengths = (0..<layout.sequences).map { layout.rows(of: $0).count }
    guard place == .input else {
      if !input.ids.isEmpty {
        result.layout = TokenLayout(lengths: lengths, positions: shifted)
      }
      return result
    }
    (result.ids, result.types, result.rows) = ([], [], [])
    var positions: [Int32] = []
    var row = input.rows.startIndex
    for sequence in 0..<layout.sequences {
      let tokens = layout.rows(of: sequence)
      result.ids += (0..<count).map { -1 - Int32($0) } + input.ids[tokens]
      result.types += [Int32](repeating: 0, count: count) + input.types[tokens]
      positions += (0..<count).map(Int32.init) + shifted[tokens]
      while row < input.rows.endIndex, tokens.contains(input.rows[row]) {
        let isFirst = task == .classifier(.first)
        result.rows.append(input.rows[row] + count * (isFirst ? sequence : sequence + 1))
        row += 1
      }
    }
    result.layout = TokenLayout(lengths: lengths.map { $0 + count }, positions: positions)
    return result
  }
}
