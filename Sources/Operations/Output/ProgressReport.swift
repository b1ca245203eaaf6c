import Synchronization

/// Counts the bytes that an operation has written, for whoever shows it.
public final class ProgressReport: Sendable {
  private let done = Atomic<Int>(0)
  private let expected = Atomic<Int>(0)

  public init() {}

  /// Bytes written so far.
  public var written: Int { done.load(ordering: .relaxed) }
  /// Bytes to write in all; 0 while that is not known.
  public var total: Int { expected.load(ordering: .relaxed) }

  func add(_ bytes: Int) { done.add(bytes, ordering: .relaxed) }
  func expect(_ bytes: Int) { expected.store(bytes, ordering: .relaxed) }
}
