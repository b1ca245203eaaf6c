import CKernels

/// The function between two linear layers, by the names of Hugging Face's configurations.
public enum Activation: String, Sendable, CaseIterable {
  case relu
  /// x·Φ(x).
  case gelu
  /// The approximation with tanh.
  case geluTanh
  /// x·σ(1.702·x).
  case geluSigmoid
  case silu
  case tanh

  /// The function that `hidden_act` names; nil for one that is not known.
  public init?(named name: String) {
    switch name {
    case "relu": self = .relu
    case "gelu", "gelu_python": self = .gelu
    case "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh": self = .geluTanh
    case "quick_gelu": self = .geluSigmoid
    case "silu", "swish": self = .silu
    case "tanh": self = .tanh
    default: return nil
    }
  }

  private var kind: ck_activation {
    switch self {
    case .relu: CK_RELU
    case .gelu: CK_GELU
    case .geluTanh: CK_GELU_TANH
    case .geluSigmoid: CK_GELU_SIGMOID
    case .silu: CK_SILU
    case .tanh: CK_TANH
    }
  }

  /// `y = f(x)`. All matrices are stored without gaps.
  func apply(to x: Matrix, into y: Matrix, _ context: LayerContext) {
    context.elements(x.rows * x.columns) { range in
      let at = range.lowerBound
      ck_layer().pointee.activate(kind, range.count, x.start + at, y.start + at)
    }
  }

  /// `dx = g·f'(x)`; dx may be x or g.
  func backward(_ g: Matrix, at x: Matrix, into dx: Matrix, _ context: LayerContext) {
    context.elements(x.rows * x.columns) { range in
      let at = range.lowerBound
      ck_layer().pointee.activate_backward(
        kind, range.count, x.start + at, g.start + at, dx.start + at)
    }
  }

  /// `y = f(gate)·up`.
  func apply(toGate gate: Matrix, up: Matrix, into y: Matrix, _ context: LayerContext) {
    context.elements(gate.rows * gate.columns) { range in
      let at = range.lowerBound
      ck_layer().pointee.gate(kind, range.count, gate.start + at, up.start + at, y.start + at)
    }
  }

  /// Turns gate and up into their gradients.
  func backward(_ g: Matrix, gate: Matrix, up: Matrix, _ context: LayerContext) {
    context.elements(gate.rows * gate.columns) { range in
      let at = range.lowerBound
      ck_layer().pointee.gate_backward(
        kind, range.count, g.start + at, gate.start + at, up.start + at)
    }
  }
}
