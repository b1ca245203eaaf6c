import Synchronization
import Testing

@testable import Kernels

@Suite struct WorkersTests {
  private struct Failure: Error, Equatable {
    let index: Int
  }

  @Test(arguments: [0, 1, 2, 9])
  func callsEveryIndexOnce(count: Int) throws {
    let calls = Mutex<[Int]>([])
    try Workers.run(count: count) { index in calls.withLock { $0.append(index) } }
    #expect(calls.withLock { $0.sorted() } == Array(0..<count))
  }

  @Test func throwsTheErrorOfTheLowestIndexAfterAllHaveRun() {
    let calls = Mutex(0)
    #expect(throws: Failure(index: 2)) {
      try Workers.run(count: 6) { index in
        calls.withLock { $0 += 1 }
        if index >= 2 { throw Failure(index: index) }
      }
    }
    #expect(calls.withLock { $0 } == 6)
  }

  /// Each waits until all are there: they run at the same time.
  @Test func runsAtTheSameTime() throws {
    let arrived = Atomic(0)
    try Workers.run(count: 3) { _ in
      arrived.add(1, ordering: .sequentiallyConsistent)
      while arrived.load(ordering: .sequentiallyConsistent) < 3 {}
    }
    #expect(arrived.load(ordering: .sequentiallyConsistent) == 3)
  }
}
