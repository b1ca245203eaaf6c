import Kernels

/// A layer of a base model as far as sizes go.
public struct ModelLayer: Sendable, Equatable {
  public var geometry: LayerGeometry
  /// The weight is another layer's: nothing is stored.
  public var isTied: Bool
  /// The layer makes logits of the last hidden state. PEFT's `all-linear` and quantization leave it out.
  public var isOutputHead: Bool
  /// Share of the tokens that reach the layer; below 1 for the experts of a mixture.
  public var tokenShare: Double
  /// Bytes of weight and bias as stored, without quantization constants.
  public var storedBytes: Int
  /// Bytes of quantization constants as stored.
  public var constantBytes: Int

  public init(
    _ geometry: LayerGeometry, isTied: Bool = false, isOutputHead: Bool = false,
    tokenShare: Double = 1, storedBytes: Int, constantBytes: Int = 0
  ) {
    self.geometry = geometry
    self.isTied = isTied
    self.isOutputHead = isOutputHead
    self.tokenShare = tokenShare
    self.storedBytes = storedBytes
    self.constantBytes = constantBytes
  }

  public var module: String { geometry.module }
  /// Elements of the weight.
  public var weightCount: Int { geometry.shape.reduce(1, *) }
  /// Elements of the bias; 0 without one.
  public var biasCount: Int { geometry.biasCount }
  /// Parameters that the layer adds to the model.
  public var parameterCount: Int { isTied ? 0 : weightCount + biasCount }
}

extension LayerGeometry {
  /// Elements of the bias; 0 without one.
  var biasCount: Int {
    guard hasBias else { return 0 }
    return kind == .linear ? outFeatures : shape.first ?? 0
  }
}
