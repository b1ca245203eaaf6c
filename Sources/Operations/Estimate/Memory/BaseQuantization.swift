/// How the linear layers of a frozen base are held in memory.
public enum BaseQuantization: String, Sendable, CaseIterable {
  /// 4 bits and double quantization.
  case nf4
  case fp4
  /// 8 bits, a scale for each row.
  case int8

  /// Elements that share a constant, and constants that share one in turn.
  private static let block = 64
  private static let nestedBlock = 256

  /// Bytes of the codes of a matrix.
  func codeBytes(count: Int) -> Int {
    self == .int8 ? count : (count + 1) / 2
  }

  /// Bytes of the constants of a matrix of `rows` with `count` elements.
  ///
  /// In 4 bits: a byte for each block of 64 elements, an f32 for each 256 of these, and the f32 that
  /// all blocks were shifted by: 4.127 bits an element together with the code.
  func constantBytes(count: Int, rows: Int) -> Int {
    guard self != .int8 else { return 4 * rows }
    let blocks = (count + Self.block - 1) / Self.block
    return blocks + 4 * ((blocks + Self.nestedBlock - 1) / Self.nestedBlock) + 4
  }

  /// Whether bitsandbytes' integration in transformers quantizes `layer`, one of `base`: linear, and not
  /// the layer that makes the result.
  static func includes(_ layer: ModelLayer, of base: ModelShapes) -> Bool {
    guard layer.geometry.kind == .linear, !layer.isTied, layer.constantBytes == 0 else {
      return false
    }
    if let known = base.quantizable { return known.contains(layer.module) }
    let names = layer.module.split(separator: ".")
    guard !layer.isOutputHead, let name = names.last, !names.contains("experts") else {
      return false
    }
    // It leaves out the module of the last parameter; where that is a bias, it takes the weight.
    if layer.biasCount == 0, ["score", "classifier", "qa_outputs"].contains(name) { return false }
    // Held in 32 bits.
    if name == "wo", base.modelType == "t5" { return false }
    return true
  }
}
