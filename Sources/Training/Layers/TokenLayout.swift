/// The sequences of a batch, one after the other without padding. Tokens of different sequences do not
/// see each other.
public struct TokenLayout: Equatable, Sendable {
  /// Sequence s has the rows `starts[s]..<starts[s + 1]`.
  public let starts: [Int]
  /// The place of each token in its sequence as the model counts it.
  public let positions: [Int32]

  public var sequences: Int { starts.count - 1 }
  public var tokens: Int { starts[starts.count - 1] }

  /// - Parameter positions: of each token; by default they count from 0 in each sequence.
  public init(lengths: [Int], positions: [Int32]? = nil) {
    var starts = [0]
    for length in lengths { starts.append(starts[starts.count - 1] + length) }
    self.starts = starts
    self.positions = positions ?? lengths.flatMap { (0..<$0).map(Int32.init) }
    precondition(self.positions.count == starts[starts.count - 1])
  }

  public func rows(of sequence: Int) -> Range<Int> { starts[sequence]..<starts[sequence + 1] }
}
