/// One tensor of an adapter, in memory, in the precision that the methods compute with.
public struct AdapterTensor: Sendable {
  /// The elements: floating-point ones widened to f32, integers as they are.
  public enum Values: Sendable {
    case real([Float])
    case integer([Int])
  }

  public let shape: [Int]
  public let values: Values

  public init(shape: [Int], values: Values) {
    self.shape = shape
    self.values = values
  }

  public init(shape: [Int], _ real: [Float]) {
    self.init(shape: shape, values: .real(real))
  }

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// The elements as f32; integers are converted.
  public var reals: [Float] {
    switch values {
    case .real(let values): values
    case .integer(let values): values.map(Float.init)
    }
  }

  /// The elements as integers; nil when one of them is not integral (index tensors saved as floats
  /// by some writers are accepted).
  public var integers: [Int]? {
    switch values {
    case .integer(let values): return values
    case .real(let values):
      var result: [Int] = []
      result.reserveCapacity(values.count)
      for value in values {
        guard let integer = Int(exactly: value) else { return nil }
        result.append(integer)
      }
      return result
    }
  }
}
