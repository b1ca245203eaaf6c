import Kernels

/// A matrix product with a weight and perhaps a bias and an adapter: `Y = X·Wᵀ + b`.
public final class Linear {
  /// The module's path: `model.layers.0.self_attn.q_proj`.
  public let path: String
  public let weight: BaseTensor
  public let bias: BaseTensor?
  /// The weight is stored `in × out`: GPT-2's Conv1D.
  public let storedTransposed: Bool
  public let inFeatures: Int
  public let outFeatures: Int
  /// Its place among the model's layers, for the masks of dropout.
  public internal(set) var number = 0
  public var adapter: AttachedAdapter<Float>?

  public init(path: String, weight: BaseTensor, bias: BaseTensor?, storedTransposed: Bool = false) {
    self.path = path
    self.weight = weight
    self.bias = bias
    self.storedTransposed = storedTransposed
    let matrix = weight.matrix
    (outFeatures, inFeatures) =
      storedTransposed ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
  }

  /// Something here is trained.
  public var isTrained: Bool {
    adapter != nil || weight.isTrained || bias?.isTrained == true
  }

  /// Whether `backward` reads X.
  var needsInput: Bool {
    weight.isTrained || adapter.map { $0.layer.needsInput || $0.layer.transformsInput } == true
  }

  /// The layer as its adapter sees it. What it refers to must not be replaced afterwards.
  public func frozen(_ context: LayerContext) -> FrozenLinear {
    FrozenLinear(
      matrix: weight.matrix, storedTransposed: storedTransposed, bias: bias?.values,
      context: context)
  }

  func forward(_ input: Matrix, into output: Matrix, _ context: LayerContext) {
    context.workspace.scope {
      var seen = input
      if let adapter, adapter.layer.transformsInput {
        seen = context.matrix(input.rows, input.columns)
        adapter.transformInput(input, into: seen)
      }
      context.pool.multiply(
        seen, weight.matrix, transposed: !storedTransposed,
        start: bias.map { .bias(UnsafePointer($0.start)) } ?? .zero,
        precision: context.precision, into: output)
      adapter?.forward(input, output: output, dropout: context.mask(of: number))
    }
  }

  /// Adds the gradients of what is trained here.
  ///
  /// - Parameters:
  ///   - gradient: of the output; an adapter may change it.
  ///   - input: X, where `needsInput`.
  ///   - inputGradient: receives the gradient of X; nil where nobody asks for it.
  ///   - accumulate: add to `inputGradient`.
  func backward(
    _ gradient: Matrix, input: Matrix?, inputGradient: Matrix?, accumulate: Bool = false,
    _ context: LayerContext
  ) {
    context.workspace.scope {
      let input = input ?? context.matrix(gradient.rows, needsInput ? inFeatures : 0)
      let mask = context.mask(of: number)
      if adapter?.layer.scalesBias == false { addBiasGradient(gradient, context) }
      adapter?.backward(gradient, input: input, dropout: mask)
      if adapter?.layer.scalesBias != false { addBiasGradient(gradient, context) }
      addWeightGradient(gradient, input: input, context)

      let transforms = adapter?.layer.transformsInput == true
      var target = inputGradient
      // An adapter that transforms its input finds its gradients on the way back to X.
      if transforms, accumulate || target == nil {
        target = context.matrix(gradient.rows, inFeatures)
      }
      guard let target else { return }
      let adds = accumulate && !transforms
      context.pool.multiply(
        gradient, weight.matrix, transposed: storedTransposed, start: adds ? .result : .zero,
        precision: context.precision, into: target)
      adapter?.addInputGradient(
        to: target, outputGradient: gradient, input: input, dropout: mask)
      if transforms, accumulate, let inputGradient {
        context.add(inputGradient, target, into: inputGradient)
      }
    }
  }

  private func addBiasGradient(_ gradient: Matrix, _ context: LayerContext) {
    if let sums = bias?.gradient { context.addColumnSums(of: gradient, to: sums) }
  }

  private func addWeightGradient(_ gradient: Matrix, input: Matrix, _ context: LayerContext) {
    guard let weightGradient = weight.gradient else { return }
    let target = MatrixView(
      weightGradient, rows: weight.matrix.rows, columns: weight.matrix.columns)
    let (left, right) = storedTransposed ? (input, gradient) : (gradient, input)
    context.products.add(left.transposed, right, to: target)
  }
}

/// A linear layer's frozen weight, as adapters see it.
public struct FrozenLinear: FrozenLayer {
  let matrix: StoredMatrix
  let storedTransposed: Bool
  private let biasStart: SendableRow?
  private let pool: ThreadPool
  private let precision: MatrixPrecision

  /// Values that the model keeps.
  private struct SendableRow: @unchecked Sendable {
    let values: Row<Float>
  }

  init(
    matrix: StoredMatrix, storedTransposed: Bool, bias: Row<Float>?, context: LayerContext
  ) {
    self.matrix = matrix
    self.storedTransposed = storedTransposed
    biasStart = bias.map(SendableRow.init)
    pool = context.pool
    precision = context.precision
  }

  public var inFeatures: Int { storedTransposed ? matrix.rows : matrix.columns }
  public var outFeatures: Int { storedTransposed ? matrix.columns : matrix.rows }
  public var bias: Row<Float>? { biasStart?.values }

  public func squaredRowNorms() -> [Double] {
    var norms = [Double](repeating: 0, count: outFeatures)
    let row = ScalarBuffer<Float>(count: matrix.columns)
    guard let start = row.values.baseAddress else { return norms }
    for index in 0..<matrix.rows {
      matrix.read(row: index, into: start)
      if storedTransposed {
        for (column, value) in row.values.enumerated() {
          norms[column] += Double(value) * Double(value)
        }
      } else {
        norms[index] = VectorArithmetic.sumOfSquares(UnsafeBufferPointer(row.values))
      }
    }
    return norms
  }

  public func multiply(_ input: Matrix, into output: Matrix) {
    pool.multiply(
      input, matrix, transposed: !storedTransposed, precision: precision, into: output)
  }

  public func multiplyTransposed(_ outputGradient: Matrix, into inputGradient: Matrix) {
    pool.multiply(
      outputGradient, matrix, transposed: storedTransposed, precision: precision,
      into: inputGradient)
  }
}
