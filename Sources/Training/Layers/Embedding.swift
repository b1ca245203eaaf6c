import Kernels

/// What the first block of a model reads: a row for each token.
protocol InputEmbedding: AnyObject {
  /// The tensors, in the order of registration.
  var tensors: [BaseTensor] { get }
  var linears: [Linear] { get }
  var norms: [Normalization] { get }

  func forward(_ input: ModelInput, into output: Matrix, _ context: LayerContext)
  /// Adds the gradients of what is trained here. The gradient may be changed.
  func backward(_ gradient: Matrix, _ context: LayerContext)
}

extension InputEmbedding {
  var isTrained: Bool {
    tensors.contains(where: \.isTrained) || linears.contains(where: \.isTrained)
  }
}

/// Rows of tables, by token and perhaps by position and type, added up and perhaps normalised.
final class TokenEmbedding: InputEmbedding {
  let tokens: BaseTensor
  let positions: BaseTensor?
  let types: BaseTensor?
  let norm: Normalization?
  /// Rows that stand for the tokens with negative ids.
  var prompt: VirtualTokens?
  private var input = ModelInput()
  private var kept: Normalization.Kept?

  init(
    tokens: BaseTensor, positions: BaseTensor? = nil, types: BaseTensor? = nil,
    norm: Normalization? = nil
  ) {
    self.tokens = tokens
    self.positions = positions
    self.types = types
    self.norm = norm
  }

  var tensors: [BaseTensor] {
    [tokens, positions, types].compactMap(\.self)
      + [norm?.weight, norm?.bias].compactMap(\.self)
  }
  var linears: [Linear] { [] }
  var norms: [Normalization] { [norm].compactMap(\.self) }

  /// The table's row for each token of the batch.
  private func rows(_ context: LayerContext) -> [(table: BaseTensor, row: (Int) -> Int)] {
    let (input, layout) = (input, context.layout)
    var tables: [(table: BaseTensor, row: (Int) -> Int)] = [(tokens, { Int(input.ids[$0]) })]
    // In the order in which BERT adds them; GPT-2 has no types.
    if let types { tables.append((types, { Int(input.types[$0]) })) }
    if let positions { tables.append((positions, { Int(layout.positions[$0]) })) }
    return tables
  }

  func forward(_ input: ModelInput, into output: Matrix, _ context: LayerContext) {
    self.input = input
    let tables = rows(context)
    let sum = norm == nil ? output : context.matrix(output.rows, output.columns)
    context.rows(sum.rows, width: sum.columns * tables.count) { range in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: sum.columns) { scratch in
        guard let start = scratch.baseAddress else { return }
        for token in range {
          let target = sum[token]
          for (number, (table, row)) in tables.enumerated() {
            guard let first = target.baseAddress else { continue }
            let row = row(token)
            if row < 0, let prompt {
              _ = target.update(fromContentsOf: prompt.values[-1 - row])
            } else if number == 0 {
              table.matrix.read(row: row, into: first)
            } else {
              table.matrix.read(row: row, into: start)
              for column in 0..<sum.columns { first[column] += start[column] }
            }
          }
        }
      }
    }
    if let norm { kept = norm.forward(sum, into: output, context) }
  }

  func backward(_ gradient: Matrix, _ context: LayerContext) {
    if let norm, let kept {
      norm.backward(gradient, kept: kept, base: nil, inputGradient: gradient, context)
    }
    if let prompt {
      for (token, id) in input.ids.enumerated() where id < 0 {
        Float.add(gradient[token], times: 1, to: prompt.gradients[-1 - Int(id)])
      }
    }
    for (table, row) in rows(context) {
      guard let target = table.gradient else { continue }
      let width = gradient.columns
      // Columns are independent; along them, token after token.
      context.pool.split(width, least: 16) { columns in
        for token in 0..<gradient.rows where row(token) >= 0 {
          let at = row(token) * width
          for column in columns { target[at + column] += gradient[token, column] }
        }
      }
    }
  }
}

/// Squares of an image as tokens, after a token for the class (Dosovitskiy et al. 2020).
final class PatchEmbedding: InputEmbedding {
  let projection: Linear
  let classToken: BaseTensor
  let positions: BaseTensor
  /// Of an image, and of a square.
  let channels: Int
  let imageHeight: Int
  let imageWidth: Int
  let patchHeight: Int
  let patchWidth: Int
  private var patches: Matrix?

  init(
    projection: Linear, classToken: BaseTensor, positions: BaseTensor, channels: Int,
    image: (height: Int, width: Int), patch: (height: Int, width: Int)
  ) {
    self.projection = projection
    self.classToken = classToken
    self.positions = positions
    self.channels = channels
    (imageHeight, imageWidth) = image
    (patchHeight, patchWidth) = patch
  }

  /// Tokens of one image.
  var length: Int { imageHeight / patchHeight * (imageWidth / patchWidth) + 1 }

  var tensors: [BaseTensor] {
    [classToken, positions, projection.weight] + [projection.bias].compactMap(\.self)
  }
  var linears: [Linear] { [projection] }
  var norms: [Normalization] { [] }

  /// A row for each square: its pixels channel by channel, as the convolution's weight has them.
  private func cut(_ pixels: [Float], into patches: Matrix, _ context: LayerContext) {
    let across = imageWidth / patchWidth
    let perImage = length - 1
    context.rows(patches.rows, width: patches.columns) { range in
      for patch in range {
        let (image, place) = patch.quotientAndRemainder(dividingBy: perImage)
        let (top, left) = (place / across * patchHeight, place % across * patchWidth)
        let target = patches[patch]
        var index = 0
        for channel in 0..<channels {
          for y in 0..<patchHeight {
            let start =
              ((image * channels + channel) * imageHeight + top + y) * imageWidth + left
            for x in 0..<patchWidth {
              target[index] = pixels[start + x]
              index += 1
            }
          }
        }
      }
    }
  }

  func forward(_ input: ModelInput, into output: Matrix, _ context: LayerContext) {
    let images = context.layout.sequences
    let patches = context.matrix(images * (length - 1), projection.inFeatures)
    cut(input.pixels, into: patches, context)
    self.patches = patches
    context.workspace.scope {
      let projected = context.matrix(patches.rows, output.columns)
      projection.forward(patches, into: projected, context)
      let places = positions.values
      let width = output.columns
      context.rows(output.rows, width: width) { range in
        for token in range {
          let (image, place) = token.quotientAndRemainder(dividingBy: length)
          let source =
            place == 0 ? classToken.values : projected[image * (length - 1) + place - 1]
          let target = output[token]
          for column in 0..<width {
            target[column] = source[column] + places[place * width + column]
          }
        }
      }
    }
  }

  func backward(_ gradient: Matrix, _ context: LayerContext) {
    let width = gradient.columns
    for token in 0..<gradient.rows {
      let place = token % length
      if let target = positions.gradient {
        for column in 0..<width { target[place * width + column] += gradient[token, column] }
      }
      if place == 0, let target = classToken.gradient {
        for column in 0..<width { target[column] += gradient[token, column] }
      }
    }
    guard projection.isTrained, let patches else { return }
    context.workspace.scope {
      let own = context.matrix(patches.rows, width)
      for patch in 0..<own.rows {
        let (image, place) = patch.quotientAndRemainder(dividingBy: length - 1)
        _ = own[patch].update(fromContentsOf: gradient[image * length + place + 1])
      }
      projection.backward(own, input: patches, inputGradient: nil, context)
    }
  }
}
