import Safetensors
import Synchronization

import class Foundation.Thread

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Ctrl-C and termination: what is being written is removed, and the tool ends with 130.
enum Interruption {
  static let exitStatus: Int32 = 130

  private static let isGraceful = Atomic<Bool>(false)
  private static let requested = Atomic<Bool>(false)

  /// From here on the first signal only asks to end; the second one ends at once.
  static func beginGraceful() { isGraceful.store(true, ordering: .relaxed) }

  /// Somebody asked to end.
  static var isRequested: Bool { requested.load(ordering: .relaxed) }

  /// From here on the signals are waited for by a thread of their own; no other thread sees them.
  static func handle() {
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    let awaited = signals
    Thread.detachNewThread {
      var awaited = awaited
      var received: Int32 = 0
      guard sigwait(&awaited, &received) == 0 else { return }
      if isGraceful.load(ordering: .relaxed) {
        requested.store(true, ordering: .relaxed)
        write(STDERR_FILENO, "interrupted: ending after this step; once more to end at once\n")
        guard sigwait(&awaited, &received) == 0 else { return }
      }
      AtomicOutput.discardAll()
      write(STDERR_FILENO, "interrupted: nothing was changed\n")
      _exit(exitStatus)
    }
  }

  private static func write(_ descriptor: Int32, _ text: String) {
    var text = text
    text.withUTF8 { bytes in
      #if canImport(Darwin)
        _ = Darwin.write(descriptor, bytes.baseAddress, bytes.count)
      #elseif canImport(Musl)
        _ = Musl.write(descriptor, bytes.baseAddress, bytes.count)
      #else
        _ = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      #endif
    }
  }
}
