/// The layer that an adapter module sits on, as the base stores it.
public struct LayerGeometry: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// A matrix product; the weight is `out × in`, or `in × out` where `storedTransposed`.
    case linear
    /// A table of `tokens × dim`.
    case embedding
    /// A convolution; the weight is `out × in/groups × kernel…`.
    case convolution
    /// A normalisation with a weight vector, and a bias vector in LayerNorm.
    case normalization
    /// A bare parameter, such as a stack of experts `experts × out × in`.
    case parameter
  }

  /// The module's path, without PEFT's prefix.
  public var module: String
  public var kind: Kind
  /// The weight's shape as stored.
  public var shape: [Int]
  /// The weight is stored `in × out` (GPT-2's Conv1D; PEFT's `fan_in_fan_out`), or the stack
  /// `experts × in × out`.
  public var storedTransposed: Bool
  public var element: ElementType
  public var hasBias: Bool

  public init(
    module: String, kind: Kind, shape: [Int], storedTransposed: Bool = false,
    element: ElementType = .f32, hasBias: Bool = false
  ) {
    self.module = module
    self.kind = kind
    self.shape = shape
    self.storedTransposed = storedTransposed
    self.element = element
    self.hasBias = hasBias
  }

  /// Output features of the layer: rows of W in the papers' notation.
  public var outFeatures: Int {
    storedTransposed ? columns : (shape.first ?? 1)
  }

  /// Input features of the layer (for a convolution, channels times kernel): columns of W.
  public var inFeatures: Int {
    storedTransposed ? (shape.first ?? 1) : columns
  }

  private var columns: Int { shape.dropFirst().reduce(1, *) }
}
