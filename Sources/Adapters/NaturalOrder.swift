/// The order in which people count: `layers.2` before `layers.10`.
public enum NaturalOrder {
  /// Whether dotted path `a` comes before `b`: segment by segment, numbers by value and before text.
  public static func precedes(_ a: String, _ b: String) -> Bool {
    let left = a.split(separator: ".", omittingEmptySubsequences: false)
    let right = b.split(separator: ".", omittingEmptySubsequences: false)
    for (x, y) in zip(left, right) where x != y {
      switch (Int(x), Int(y)) {
      case (let m?, let n?) where m != n: return m < n
      case (.some, nil): return true
      case (nil, .some): return false
      default: return x.utf8.lexicographicallyPrecedes(y.utf8)
      }
    }
    return left.count < right.count
  }
}
