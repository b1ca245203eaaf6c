/// The non-linearity inside a bottleneck.
public enum Activation: Sendable, CaseIterable {
  case identity
  case relu
  /// `x·Φ(x)`.
  case gelu
  /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
  case geluTanh
  case tanh
  case sigmoid
  /// `x·σ(x)`.
  case silu

  /// The activation that `transformers` calls `name`, in any letter case.
  public init?(name: String) {
    switch name.lowercased() {
    case "linear", "identity": self = .identity
    case "relu": self = .relu
    case "gelu": self = .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": self = .geluTanh
    case "tanh": self = .tanh
    case "sigmoid": self = .sigmoid
    case "silu", "swish": self = .silu
    default: return nil
    }
  }

  @inlinable
  public func value<Scalar: TrainingScalar>(_ x: Scalar) -> Scalar {
    switch self {
    case .identity: x
    case .relu: max(x, 0)
    case .gelu: x * normalDistribution(x)
    case .geluTanh: x / 2 * (1 + .hyperbolicTangent(geluArgument(x)))
    case .tanh: .hyperbolicTangent(x)
    case .sigmoid: logistic(x)
    case .silu: x * logistic(x)
    }
  }

  @inlinable
  public func derivative<Scalar: TrainingScalar>(_ x: Scalar) -> Scalar {
    switch self {
    case .identity: return 1
    case .relu: return x > 0 ? 1 : 0
    case .gelu:
      return normalDistribution(x)
        + x * .exponential(-x * x / 2) * Scalar(0.39894228040143267794)  // 1/√(2π)
    case .geluTanh:
      let t = Scalar.hyperbolicTangent(geluArgument(x))
      let slope = Scalar(0.79788456080286535588) * (1 + 3 * Scalar(0.044715) * x * x)
      return (1 + t) / 2 + x / 2 * (1 - t * t) * slope
    case .tanh:
      let t = Scalar.hyperbolicTangent(x)
      return 1 - t * t
    case .sigmoid:
      let s = logistic(x)
      return s * (1 - s)
    case .silu:
      let s = logistic(x)
      return s + x * s * (1 - s)
    }
  }

  /// Φ(x).
  @inlinable
  func normalDistribution<Scalar: TrainingScalar>(_ x: Scalar) -> Scalar {
    (1 + .errorFunction(x * Scalar(0.70710678118654752440))) / 2
  }

  @inlinable
  func logistic<Scalar: TrainingScalar>(_ x: Scalar) -> Scalar {
    1 / (1 + .exponential(-x))
  }

  @inlinable
  func geluArgument<Scalar: TrainingScalar>(_ x: Scalar) -> Scalar {
    Scalar(0.79788456080286535588) * (x + Scalar(0.044715) * x * x * x)
  }
}
