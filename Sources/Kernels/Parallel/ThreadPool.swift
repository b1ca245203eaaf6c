import CKernels

/// Threads that matrix products and the passes between them share. They are started once and wait.
///
/// No result depends on their number.
public final class ThreadPool: @unchecked Sendable {
  /// For kernels that share out their own work; valid as long as this object lives.
  public let workers: OpaquePointer
  /// Threads that work, the caller's included.
  public let count: Int

  /// - Parameter count: at least 1. Where the system has fewer threads to give, there are fewer.
  public init(count: Int) {
    guard let workers = ck_workers_create(Int32(clamping: max(count, 1))) else {
      preconditionFailure("no memory for a thread pool")
    }
    self.workers = workers
    self.count = Int(ck_workers_count(workers))
  }

  deinit { ck_workers_destroy(workers) }

  /// Calls `body` with each of `0..<jobs`, on several threads at once, and returns when all are done.
  /// The jobs must not write to the same memory.
  public func run(_ jobs: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: Job(body: body)) { job in
        ck_workers_run(
          workers, jobs,
          { context, index, _ in
            context?.assumingMemoryBound(to: Job.self).pointee.body(index)
          }, UnsafeMutableRawPointer(mutating: job))
      }
    }
  }

  /// Calls `body` with ranges that make up `0..<count`.
  ///
  /// - Parameter least: elements that are worth a job of their own; ranges start at its multiples.
  public func split(_ count: Int, least: Int, _ body: (Range<Int>) -> Void) {
    // A few jobs for each worker, so that none waits long for the last one.
    let share = (count + 4 * self.count - 1) / (4 * self.count)
    let size = max((share + least - 1) / max(least, 1), 1) * max(least, 1)
    if size >= count {
      if count > 0 { body(0..<count) }
      return
    }
    run((count + size - 1) / size) { body($0 * size..<min(count, ($0 + 1) * size)) }
  }

  private struct Job {
    let body: (Int) -> Void
  }
}
