/// A tensor as the header describes it.
public struct TensorInfo: Equatable, Sendable {
  public let name: String
  public let dtype: DType
  /// Row-major; `[]` is a scalar.
  ///
  /// An empty tensor may have dimensions that no other could: use `elementCount`, not a product. One
  /// above `Int.max` reads as `Int.max`.
  public let shape: [Int]
  /// Where the bytes are, from the start of the body.
  public let offsets: Range<Int>

  public init(name: String, dtype: DType, shape: [Int], offsets: Range<Int>) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.offsets = offsets
  }

  public var byteCount: Int { offsets.count }

  public var elementCount: Int {
    // byteCount × 8 / bits, without the product, which could overflow.
    byteCount / dtype.bits * 8 + byteCount % dtype.bits * 8 / dtype.bits
  }
}
