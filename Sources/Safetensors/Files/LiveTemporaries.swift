import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The temporary files and folders of this process that have neither been renamed nor removed.
///
/// Renaming and removing hold one lock, so that an interruption finds a target either before or after
/// its replacement.
final class LiveTemporaries: Sendable {
  static let shared = LiveTemporaries()

  private let paths = Mutex<Set<String>>([])

  /// Makes an empty file or folder `.<name>.partial-<process>-<number>` beside `target`.
  func create(_ kind: AtomicOutput.Kind, beside target: String) throws(FileError) -> String {
    // A name has 255 bytes at most; the target's may be as long.
    let name = FileSystem.name(of: target)
    let stem = name.utf8.count <= 200 ? name : String(name.prefix(50))
    let prefix = FileSystem.join(
      FileSystem.parent(of: target), ".\(stem).partial-\(getpid())-")
    var number = 0
    while true {
      let path = prefix + String(number)
      let failure: FileError? = paths.withLock { paths in
        do throws(FileError) {
          try FileSystem.create(kind, at: path)
          paths.insert(path)
          return nil
        } catch { return error }
      }
      guard let failure else { return path }
      // Left behind by a process that was killed and had the same number.
      guard failure.errno == EEXIST else { throw failure }
      number += 1
    }
  }

  func move(_ path: String, to target: String, replacing: Bool) throws(FileError) {
    try paths.withLock { paths -> Result<Void, FileError> in
      guard paths.contains(path) else {
        return .failure(FileError(.rename, path: path, errno: ENOENT))
      }
      return Result { () throws(FileError) in
        let leftover = try FileSystem.move(path, to: target, replacing: replacing)
        paths.remove(path)
        if let leftover { FileSystem.removeTree(leftover) }
      }
    }.get()
  }

  func discard(_ path: String) {
    paths.withLock { paths in
      if paths.remove(path) != nil { FileSystem.removeTree(path) }
    }
  }

  func discardAll() {
    paths.withLock { paths in
      for path in paths.sorted() { FileSystem.removeTree(path) }
      paths = []
    }
  }
}
