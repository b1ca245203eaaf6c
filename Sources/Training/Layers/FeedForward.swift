import Kernels

/// The two or three linear layers after attention: `down(f(up(x)))`, or gated `down(f(gate(x))·up(x))`.
///
/// Kept are the inputs of f; its output is computed again.
final class FeedForward {
  let gate: Linear?
  let up: Linear
  let down: Linear
  let activation: Activation
  /// An adapter beside all of it, from the input to the output.
  var parallel: AttachedAdapter<Float>?

  init(gate: Linear? = nil, up: Linear, down: Linear, activation: Activation) {
    self.gate = gate
    self.up = up
    self.down = down
    self.activation = activation
  }

  var linears: [Linear] { [gate, up, down].compactMap(\.self) }
  var isTrained: Bool { parallel != nil || linears.contains(where: \.isTrained) }
  /// Whether `backward` reads the input.
  var needsInput: Bool {
    up.needsInput || gate?.needsInput == true || parallel?.layer.needsInput == true
  }

  struct Kept {
    /// tokens × inner; after `backward` their gradients.
    var gate: Matrix?
    var up: Matrix
  }

  func forward(_ input: Matrix, into output: Matrix, _ context: LayerContext) -> Kept {
    let kept = Kept(
      gate: gate.map { context.matrix(input.rows, $0.outFeatures) },
      up: context.matrix(input.rows, up.outFeatures))
    if let gate, let target = kept.gate { gate.forward(input, into: target, context) }
    up.forward(input, into: kept.up, context)
    context.workspace.scope {
      let inner = context.matrix(input.rows, up.outFeatures)
      activate(kept, into: inner, context)
      down.forward(inner, into: output, context)
    }
    parallel?.forward(input, output: output)
    return kept
  }

  private func activate(_ kept: Kept, into inner: Matrix, _ context: LayerContext) {
    if let gate = kept.gate {
      activation.apply(toGate: gate, up: kept.up, into: inner, context)
    } else {
      activation.apply(to: kept.up, into: inner, context)
    }
  }

  /// - Parameters:
  ///   - gradient: of the output; it may be changed.
  ///   - input: where `needsInput`.
  ///   - inputGradient: is replaced; nil where nobody asks for it.
  func backward(
    _ gradient: Matrix, kept: Kept, input: Matrix?, inputGradient: Matrix?,
    _ context: LayerContext
  ) {
    // It reads the output's gradient, and leaves what it needs for that of the input.
    if let parallel, let input { parallel.backward(gradient, input: input) }
    context.workspace.scope {
      var inner: Matrix?
      if down.needsInput {
        let again = context.matrix(gradient.rows, down.inFeatures)
        activate(kept, into: again, context)
        inner = again
      }
      let innerGradient = context.matrix(gradient.rows, down.inFeatures)
      down.backward(gradient, input: inner, inputGradient: innerGradient, context)
      if let gate = kept.gate {
        activation.backward(innerGradient, gate: gate, up: kept.up, context)
      } else {
        activation.backward(innerGradient, at: kept.up, into: kept.up, context)
      }
    }
    up.backward(kept.up, input: input, inputGradient: inputGradient, context)
    if let gate, let gateGradient = kept.gate {
      gate.backward(
        gateGradient, input: input, inputGradient: inputGradient, accumulate: true, context)
    }
    if let parallel, let input, let inputGradient {
      parallel.addInputGradient(to: inputGradient, outputGradient: gradient, input: input)
    }
  }
}
