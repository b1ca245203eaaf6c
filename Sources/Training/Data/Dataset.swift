/// Examples that are read when they are asked for.
public protocol Dataset: Sendable {
  var count: Int { get }

  /// - Parameter index: `0..<count`.
  func example(at index: Int) throws(DataError) -> Example
}

/// Examples in memory.
public struct ExampleList: Dataset {
  public let examples: [Example]

  public init(_ examples: [Example]) {
    self.examples = examples
  }

  public var count: Int { examples.count }

  public func example(at index: Int) throws(DataError) -> Example { examples[index] }
}
