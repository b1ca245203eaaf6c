extension PEANuT {
  /// Activation functions by the names that transformers gives them, in f64 and without a library, so that
  /// the bits are the same on every machine.
  enum Activation: String, Sendable {
    case linear
    case relu
    case relu6
    case squaredReLU = "relu2"
    case leakyReLU = "leaky_relu"
    case sigmoid
    case tanh
    case silu
    case swish
    case gelu
    case geluNew = "gelu_new"
    case geluTanh = "gelu_pytorch_tanh"
    case quickGELU = "quick_gelu"

    func callAsFunction(_ x: Double) -> Double {
      switch self {
      case .linear: x
      case .relu: max(x, 0)
      case .relu6: min(max(x, 0), 6)
      case .squaredReLU: max(x, 0) * max(x, 0)
      case .leakyReLU: x < 0 ? 0.01 * x : x
      case .sigmoid: Self.logistic(x)
      case .tanh: ElementaryFunctions.hyperbolicTangent(x)
      case .silu, .swish: x * Self.logistic(x)
      case .gelu: 0.5 * x * (1 + ElementaryFunctions.error(x * 0.7071067811865476))
      case .geluNew, .geluTanh:
        0.5 * x
          * (1
            + ElementaryFunctions.hyperbolicTangent(
              0.7978845608028654 * (x + 0.044715 * x * x * x)))
      case .quickGELU: x * Self.logistic(1.702 * x)
      }
    }

    private static func logistic(_ x: Double) -> Double {
      1 / (1 + ElementaryFunctions.exponential(-x))
    }
  }
}
