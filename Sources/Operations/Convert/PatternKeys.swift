import Adapters

/// Keys of `rank_pattern` and `alpha_pattern` that stand for one module and for no other.
///
/// PEFT reads a key k as the expression `(.*\.)?(k)$`: a path is its own key unless another module's
/// path ends like it or differs from it only where it has a dot.
struct PatternKeys {
  private let paths: [String]

  init(paths: [String]) { self.paths = paths }

  /// The key of the module at `path`.
  func key(of path: String) -> String {
    let own = Array(path.utf8)
    let isAmbiguous = paths.contains { other in
      let other = Array(other.utf8)
      guard other != own, other.count >= own.count else { return false }
      let end = other.suffix(own.count)
      let isAfterDot = other.count == own.count || other[other.count - own.count - 1] == dot
      return isAfterDot && zip(own, end).allSatisfy { $0 == dot || $0 == $1 }
    }
    return isAmbiguous ? "^" + path.split(separator: ".").joined(separator: "\\.") : path
  }

  private let dot = UInt8(ascii: ".")
}
