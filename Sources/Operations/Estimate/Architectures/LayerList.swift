import Kernels

/// The layers of a model in the making.
struct LayerList {
  private(set) var layers: [ModelLayer] = []
  /// Put before the names of modules: `model.`.
  var prefix = ""
  private let elementSize: Int

  init(elementSize: Int) {
    self.elementSize = elementSize
  }

  mutating func linear(
    _ module: String, _ out: Int, _ input: Int, bias: Bool = false,
    transposed: Bool = false, tokenShare: Double = 1
  ) {
    append(
      module, .linear, transposed ? [input, out] : [out, input], bias: bias,
      transposed: transposed, tokenShare: tokenShare)
  }

  /// A layer from the last hidden state to logits, or to the classes of a text.
  mutating func head(
    _ module: String, _ out: Int, _ input: Int, bias: Bool = false, tied: Bool = false
  ) {
    append(module, .linear, [out, input], bias: bias)
    layers[layers.count - 1].isOutputHead = true
    layers[layers.count - 1].isTied = tied
    if tied { layers[layers.count - 1].storedBytes = 0 }
  }

  mutating func embedding(_ module: String, _ tokens: Int, _ dim: Int) {
    append(module, .embedding, [tokens, dim], bias: false)
  }

  mutating func norm(_ module: String, _ width: Int, bias: Bool) {
    append(module, .normalization, [width], bias: bias)
  }

  mutating func convolution(_ module: String, _ shape: [Int], bias: Bool = true) {
    append(module, .convolution, shape, bias: bias)
  }

  /// A parameter that is not a module's weight or bias; `name` is all of its name.
  mutating func parameter(_ name: String, _ shape: [Int]) {
    append(name, .parameter, shape, bias: false)
  }

  private mutating func append(
    _ module: String, _ kind: LayerGeometry.Kind, _ shape: [Int], bias: Bool,
    transposed: Bool = false, tokenShare: Double = 1
  ) {
    let geometry = LayerGeometry(
      module: prefix + module, kind: kind, shape: shape, storedTransposed: transposed,
      element: elementSize == 2 ? .bf16 : .f32, hasBias: bias)
    var layer = ModelLayer(
      geometry, tokenShare: tokenShare, storedBytes: 0)
    layer.storedBytes = layer.parameterCount * elementSize
    layers.append(layer)
  }
}
