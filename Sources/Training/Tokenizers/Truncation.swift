import Safetensors

/// How long an encoding may become. What is cut off is lost: there are no overflowing parts.
public struct Truncation: Equatable, Sendable {
  public enum Strategy: String, Sendable {
    /// Of a pair, the longer sequence loses tokens first.
    case longestFirst = "LongestFirst"
    case onlyFirst = "OnlyFirst"
    case onlySecond = "OnlySecond"
  }

  /// With the special tokens.
  public var maximumLength: Int
  public var strategy: Strategy
  public var direction: TokenDirection

  public init(
    maximumLength: Int, strategy: Strategy = .longestFirst, direction: TokenDirection = .right
  ) {
    self.maximumLength = maximumLength
    self.strategy = strategy
    self.direction = direction
  }

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    maximumLength = try settings.count("max_length")
    guard let strategy = Strategy(rawValue: try settings.string("strategy")) else {
      throw settings.invalid("strategy")
    }
    self.strategy = strategy
    let name = try settings.optionalString("direction") ?? "Right"
    guard let direction = TokenDirection(rawValue: name) else {
      throw settings.invalid("direction")
    }
    self.direction = direction
  }

  /// Cuts one sequence or a pair so that `addedTokens` more fit.
  func apply(
    to encodings: inout [Encoding], addedTokens: Int
  ) throws(TokenizerError) {
    let impossible = TokenizerError.truncationImpossible(maximumLength: maximumLength)
    let limit = maximumLength - addedTokens
    guard limit >= 0 else { throw impossible }
    let excess = encodings.reduce(0) { $0 + $1.count } - limit
    guard excess > 0 else { return }
    if limit == 0 {
      for i in encodings.indices { encodings[i].truncate(to: 0, direction) }
      return
    }
    switch strategy {
    case .longestFirst:
      guard encodings.count == 2 else {
        encodings[0].truncate(to: limit, direction)
        return
      }
      let lengths = longestFirstLengths(encodings[0].count, encodings[1].count, limit: limit)
      encodings[0].truncate(to: lengths.0, direction)
      encodings[1].truncate(to: lengths.1, direction)
    case .onlyFirst, .onlySecond:
      let index = strategy == .onlyFirst ? 0 : 1
      guard index < encodings.count, encodings[index].count > excess else { throw impossible }
      encodings[index].truncate(to: encodings[index].count - excess, direction)
    }
  }

  /// The lengths of a pair that is too long: only the longer one is cut if that suffices, else both
  /// get half of the room, the longer one the odd token.
  private func longestFirstLengths(_ first: Int, _ second: Int, limit: Int) -> (Int, Int) {
    var shorter = min(first, second)
    var longer = shorter > limit ? shorter : max(shorter, limit - shorter)
    if shorter + longer > limit {
      shorter = limit / 2
      longer = shorter + limit % 2
    }
    return first > second ? (longer, shorter) : (shorter, longer)
  }
}
