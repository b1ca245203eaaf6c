/// Bytes in memory while an adapter is trained, part by part.
public struct MemoryEstimate: Sendable, Equatable {
  /// The base: as stored, or the codes of quantized layers.
  public var weights = 0
  /// What belongs to the codes.
  public var quantizationConstants = 0
  /// The adapter in f32, with what it stores and does not train.
  public var adapter = 0
  /// f32.
  public var gradients = 0
  /// AdamW: two f32 for each trained number.
  public var optimizer = 0
  /// What the forward pass leaves for the backward pass, what that works with, and the program itself
  /// (`Activations`).
  public var activations = 0

  public var total: Int {
    weights + quantizationConstants + adapter + gradients + optimizer + activations
  }

  /// The base, held as stored or quantized.
  init(base: ModelShapes, quantization: BaseQuantization?) {
    for layer in base.layers {
      guard let quantization, BaseQuantization.includes(layer, of: base) else {
        weights += layer.storedBytes
        quantizationConstants += layer.constantBytes
        continue
      }
      let count = layer.weightCount
      let bias = layer.storedBytes * layer.biasCount / max(layer.parameterCount, 1)
      weights += quantization.codeBytes(count: count) + bias
      quantizationConstants += quantization.constantBytes(
        count: count, rows: layer.geometry.outFeatures)
    }
  }

  /// Adds what training costs besides the activations.
  mutating func add(_ count: ParameterCount) {
    adapter += 4 * (count.trained + count.frozen)
    gradients += 4 * count.trained
    optimizer += 8 * count.trained
  }
}
