/// A regular expression as a tree.
indirect enum PatternSyntax: Sendable {
  enum Greed: Sendable { case greedy, lazy, possessive }
  enum Boundary: Sendable {
    case lineStart, lineEnd, textStart, textEnd, textEndOrLastNewline, word, notWord
  }

  case set(PatternSet)
  case sequence([PatternSyntax])
  case alternatives([PatternSyntax])
  /// `maximum` nil: without limit.
  case repetition(PatternSyntax, minimum: Int, maximum: Int?, greed: Greed)
  case look(PatternSyntax, ahead: Bool, isNegated: Bool)
  case atomic(PatternSyntax)
  case boundary(Boundary)

  /// How many scalars a match has, where every match has as many.
  var fixedWidth: Int? {
    switch self {
    case .set: return 1
    case .boundary, .look: return 0
    case .atomic(let body): return body.fixedWidth
    case .sequence(let parts):
      return parts.reduce(Int?.some(0)) { sum, part in
        guard let sum, let width = part.fixedWidth else { return nil }
        return sum + width
      }
    case .alternatives(let branches):
      let widths = branches.map(\.fixedWidth)
      return widths.allSatisfy { $0 == widths[0] } ? widths[0] : nil
    case .repetition(let body, let minimum, let maximum, _):
      guard minimum == maximum, let width = body.fixedWidth else { return nil }
      return minimum * width
    }
  }

  /// About how many instructions the expression becomes; no more than 2³².
  var size: Int {
    switch self {
    case .set, .boundary, .repetition(.set, _, _, _): return 1
    case .look(let body, _, _), .atomic(let body): return min(body.size + 2, 1 << 32)
    case .sequence(let parts), .alternatives(let parts):
      return parts.reduce(1) { min($0 + $1.size + 2, 1 << 32) }
    case .repetition(let body, let minimum, let maximum, _):
      return min((body.size + 2) * max(minimum, maximum ?? minimum + 1), 1 << 32)
    }
  }

  /// Whether the expression can match the empty text.
  var matchesEmpty: Bool {
    switch self {
    case .set: false
    case .boundary, .look: true
    case .atomic(let body): body.matchesEmpty
    case .sequence(let parts): parts.allSatisfy(\.matchesEmpty)
    case .alternatives(let branches): branches.contains(where: \.matchesEmpty)
    case .repetition(let body, let minimum, _, _): minimum == 0 || body.matchesEmpty
    }
  }
}
