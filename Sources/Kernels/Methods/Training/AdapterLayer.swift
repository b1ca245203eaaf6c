/// A method on one layer with a frozen weight, in training.
///
/// With X the layer's input (`tokens × in`), Y its output and G the gradient of the loss with respect
/// to the output (`tokens × out`), one step is:
///
/// 1. `derive`, once after every change of the parameters;
/// 2. the layer computes `Y = X·W0ᵀ + b0`, then `forward` completes Y;
/// 3. `backward` adds the parameters' gradients and turns G into the G' that the frozen weight passes
///    on;
/// 4. the layer computes `dX = G'·W0`, then `addInputGradient` completes dX.
///
/// Step 4 is left out where nobody asks for dX, unless `transformsInput`.
///
/// A layer is a value without mutable state: parameters, gradients and everything that is kept from
/// one step to the next lie in memory that the caller owns (`LayerPass`).
public protocol AdapterLayer<Scalar>: Sendable {
  associatedtype Scalar: TrainingScalar

  /// The trained tensors, in their order in the flat buffer.
  var parameters: [TrainableTensor] { get }
  /// Numbers that `derive` computes from the parameters.
  var derivedCount: Int { get }
  /// Numbers that `forward` leaves for `backward`.
  func keptCount(tokens: Int) -> Int
  /// Whether `backward` reads X.
  var needsInput: Bool { get }
  /// Whether the weight is applied to `transformInput` of X instead of X.
  var transformsInput: Bool { get }
  /// Whether the layer's bias is part of what `forward` scales: its gradient is then the sum of G',
  /// otherwise of G.
  var scalesBias: Bool { get }

  /// Computes what depends on the parameters alone.
  func derive(_ pass: LayerPass<Scalar>)
  /// X → the input of the frozen weight, where `transformsInput`.
  func transformInput(
    _ input: MatrixView<Scalar>, into transformed: MatrixView<Scalar>, pass: LayerPass<Scalar>)
  /// Completes Y.
  func forward(_ input: MatrixView<Scalar>, output: MatrixView<Scalar>, pass: LayerPass<Scalar>)
  /// Adds to `gradients` and turns G into G', in place. `input` is X where `needsInput`.
  func backward(
    _ outputGradient: MatrixView<Scalar>, input: MatrixView<Scalar>,
    gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>)
  /// Completes dX. Called after `backward` with the same kept numbers.
  func addInputGradient(
    to inputGradient: MatrixView<Scalar>, outputGradient: MatrixView<Scalar>,
    input: MatrixView<Scalar>, gradients: ParameterView<Scalar>, pass: LayerPass<Scalar>)
}

extension AdapterLayer {
  public var derivedCount: Int { 0 }
  public var needsInput: Bool { true }
  public var transformsInput: Bool { false }
  public var scalesBias: Bool { true }
  public func keptCount(tokens: Int) -> Int { 0 }
  public func derive(_ pass: LayerPass<Scalar>) {}

  public func transformInput(
    _ input: MatrixView<Scalar>, into transformed: MatrixView<Scalar>, pass: LayerPass<Scalar>
  ) {
    transformed.copy(input)
  }

  /// Number of trained scalars.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }
}

/// A trained tensor of a layer.
public struct TrainableTensor: Sendable, Equatable {
  /// Its name in the adapter file, after the module's.
  public var leaf: String
  public var shape: [Int]

  public init(_ leaf: String, _ shape: [Int]) {
    self.leaf = leaf
    self.shape = shape
  }

  public var count: Int { shape.reduce(1, *) }
}

/// A layer's parameters, or their gradients, one tensor after the other.
public struct ParameterView<Scalar: TrainingScalar>: @unchecked Sendable {
  public let values: UnsafeMutableBufferPointer<Scalar>

  public init(_ values: UnsafeMutableBufferPointer<Scalar>) { self.values = values }

  /// The `rows × columns` matrix that starts `offset` numbers into the view.
  public func matrix(at offset: Int = 0, rows: Int, columns: Int) -> MatrixView<Scalar> {
    MatrixView(vector(at: offset, count: rows * columns), rows: rows, columns: columns)
  }

  public func vector(at offset: Int = 0, count: Int) -> Row<Scalar> {
    UnsafeMutableBufferPointer(rebasing: values[offset..<offset + count])
  }
}

/// What a layer works with besides its input and output.
public struct LayerPass<Scalar: TrainingScalar> {
  public var parameters: ParameterView<Scalar>
  /// `derivedCount` numbers.
  public var derived: UnsafeMutableBufferPointer<Scalar>
  /// `keptCount` numbers.
  public var kept: UnsafeMutableBufferPointer<Scalar>
  public var base: any FrozenLayer<Scalar>
  public var products: any MatrixProducts<Scalar>
  public var workspace: Workspace<Scalar>
  /// X is the layer's input after dropout, so that Y was computed from another X.
  public var inputIsDropped: Bool

  public init(
    parameters: ParameterView<Scalar>, derived: UnsafeMutableBufferPointer<Scalar>,
    kept: UnsafeMutableBufferPointer<Scalar>, base: any FrozenLayer<Scalar>,
    products: any MatrixProducts<Scalar>, workspace: Workspace<Scalar>,
    inputIsDropped: Bool = false
  ) {
    self.parameters = parameters
    self.derived = derived
    self.kept = kept
    self.base = base
    self.products = products
    self.workspace = workspace
    self.inputIsDropped = inputIsDropped
  }

  /// The `rows × columns` matrix that starts `offset` numbers into what is kept.
  func kept(at offset: Int = 0, rows: Int, columns: Int) -> MatrixView<Scalar> {
    ParameterView(kept).matrix(at: offset, rows: rows, columns: columns)
  }
}

/// The frozen weight under an adapter, `out × in`, in whatever form it is held (f32, 16 bit, NF4).
public protocol FrozenLayer<Scalar>: Sendable {
  associatedtype Scalar: TrainingScalar
  var inFeatures: Int { get }
  var outFeatures: Int { get }
  /// b0; nil where the layer has none.
  var bias: UnsafeMutableBufferPointer<Scalar>? { get }
  /// `‖row i of W0‖²` for every row.
  func squaredRowNorms() -> [Double]
  /// `output = input·W0ᵀ`, without the bias.
  func multiply(_ input: MatrixView<Scalar>, into output: MatrixView<Scalar>)
  /// `inputGradient = outputGradient·W0`.
  func multiplyTransposed(
    _ outputGradient: MatrixView<Scalar>, into inputGradient: MatrixView<Scalar>)
}
