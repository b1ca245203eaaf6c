#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Threads of their own for arithmetic and blocking input and output, which do not belong on the
/// cooperative pool.
public enum Workers {
  /// Calls `body` with 0, 1, … `count - 1`, each on its own thread, and waits for all of them. 0 runs on
  /// the calling thread, and so does, after it, every one that the system has no thread for: a worker
  /// must not wait for another to begin.
  ///
  /// - Throws: of all errors that were thrown, that of the lowest index. The others run to their end.
  public static func run(count: Int, _ body: @Sendable (Int) throws -> Void) throws {
    try withoutActuallyEscaping(body) { body in
      let workers = (0..<max(count, 0)).map { Worker(index: $0, body: body) }
      for worker in workers.dropFirst() { worker.start() }
      for worker in workers { worker.finish() }
      for worker in workers {
        if let error = worker.error { throw error }
      }
    }
  }
}

/// One call of the body. `error` is read after `finish`, when the thread is gone.
private final class Worker: @unchecked Sendable {
  private let index: Int
  private let body: @Sendable (Int) throws -> Void
  private var thread: pthread_t?
  private(set) var error: (any Error)?

  init(index: Int, body: @escaping @Sendable (Int) throws -> Void) {
    self.index = index
    self.body = body
  }

  /// Bytes: that of secondary threads on Darwin, 512 KiB, is little for a kernel with its blocks.
  private static let stackSize = 4 << 20

  func start() {
    var attributes = pthread_attr_t()
    guard pthread_attr_init(&attributes) == 0 else { return }
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, Self.stackSize)
    let this = Unmanaged.passUnretained(self).toOpaque()
    #if canImport(Darwin)
      var created: pthread_t?
      let status = pthread_create(&created, &attributes, { Worker.call($0) }, this)
      if status == 0 { thread = created }
    #else
      var created = pthread_t()
      let status = pthread_create(&created, &attributes, { $0.flatMap { Worker.call($0) } }, this)
      if status == 0 { thread = created }
    #endif
  }

  /// Waits for the thread, or does its work here when there is none.
  func finish() {
    if let thread {
      pthread_join(thread, nil)
    } else {
      call()
    }
  }

  private static func call(_ worker: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    Unmanaged<Worker>.fromOpaque(worker).takeUnretainedValue().call()
    return nil
  }

  private func call() {
    do {
      try body(index)
    } catch {
      self.error = error
    }
  }
}
