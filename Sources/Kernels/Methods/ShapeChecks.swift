extension Dictionary where Key == String, Value == [Int] {
  /// The shape of `leaf`, which must be there.
  func required(_ leaf: String) throws(MethodError) -> [Int] {
    guard let shape = self[leaf] else { throw .missingTensor(leaf: leaf) }
    return shape
  }

  /// The shape of `leaf`, which must be there with this number of dimensions.
  func required(_ leaf: String, dimensions: Int) throws(MethodError) -> [Int] {
    let shape = try required(leaf)
    guard shape.count == dimensions else {
      throw .shape(leaf: leaf, found: shape, expected: "\(dimensions) dimensions")
    }
    return shape
  }

  /// Checks that `leaf` is there and has the shape `expected`.
  func expect(_ leaf: String, _ expected: [Int]) throws(MethodError) {
    let shape = try required(leaf)
    guard shape == expected else {
      throw .shape(leaf: leaf, found: shape, expected: "\(expected)")
    }
  }

  /// Checks that `leaf` holds `count` elements, in whatever shape writers give a vector: (n), (n, 1),
  /// (1, n, 1, 1).
  func expectVector(_ leaf: String, count: Int) throws(MethodError) {
    let shape = try required(leaf)
    guard shape.reduce(1, *) == count, shape.filter({ $0 != 1 }).count <= 1 else {
      throw .shape(leaf: leaf, found: shape, expected: "[\(count)]")
    }
  }

  /// Elements of the tensors `leaves`, those that are there.
  func elements(of leaves: some Sequence<String>) -> Int {
    leaves.reduce(0) { $0 + (self[$1]?.reduce(1, *) ?? 0) }
  }
}

extension AdapterModule {
  var shapes: [String: [Int]] { tensors.mapValues(\.shape) }
}

extension MethodSettings {
  /// A positive integer; `fallback` when it is absent.
  func positive(_ name: String, default fallback: Int) throws(MethodError) -> Int {
    let value = try integer(name) ?? fallback
    guard value > 0 else { throw .setting(name: name, reason: "must be positive") }
    return value
  }
}
