/// A pattern for names: `*` stands for any run of characters, dots included, `?` for one, everything else
/// for itself. A whole name has to match.
public struct Glob: Sendable, Equatable {
  private let pattern: [Character]

  public init(_ pattern: String) {
    self.pattern = Array(pattern)
  }

  public func matches(_ name: String) -> Bool {
    let name = Array(name)
    var (at, place) = (0, 0)
    // Where to go on when what follows the last star does not match: one character later.
    var retry: (at: Int, place: Int)?
    while place < name.count {
      if at < pattern.count, pattern[at] == "*" {
        retry = (at, place)
        at += 1
      } else if at < pattern.count, pattern[at] == "?" || pattern[at] == name[place] {
        (at, place) = (at + 1, place + 1)
      } else if let last = retry {
        retry = (last.at, last.place + 1)
        (at, place) = (last.at + 1, last.place + 1)
      } else {
        return false
      }
    }
    return pattern[at...].allSatisfy { $0 == "*" }
  }
}
