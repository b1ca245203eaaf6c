/// Tokens by their scalars, for finding all those with which a text starts.
struct TokenTrie: Sendable {
  /// The child of a node: node in the upper, scalar in the lower half.
  private var children: [UInt64: Int32] = [:]
  /// The token that ends at each node; −1 where none does. Node 0 is the root.
  private var ids: [Int32] = [-1]

  mutating func insert(_ token: ArraySlice<Unicode.Scalar>, id: Int32) {
    var node: Int32 = 0
    for scalar in token {
      let key = Self.key(node, scalar)
      if let child = children[key] {
        node = child
      } else {
        node = Int32(ids.count)
        ids.append(-1)
        children[key] = node
      }
    }
    ids[Int(node)] = id
  }

  /// Calls `body` with the length and id of each token that `text` starts with, shortest first.
  func forEachPrefix(
    of text: ArraySlice<Unicode.Scalar>, _ body: (_ length: Int, _ id: Int32) -> Void
  ) {
    var node: Int32 = 0
    var length = 0
    for scalar in text {
      guard let child = children[Self.key(node, scalar)] else { return }
      node = child
      length += 1
      if ids[Int(node)] >= 0 { body(length, ids[Int(node)]) }
    }
  }

  private static func key(_ node: Int32, _ scalar: Unicode.Scalar) -> UInt64 {
    UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar.value)
  }
}
