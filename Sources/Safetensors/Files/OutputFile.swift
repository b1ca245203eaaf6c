import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A new file, written at any position by any number of threads.
public final class OutputFile: Sendable {
  public let path: String
  /// For callers with I/O of their own; valid until `close()`.
  public let descriptor: Int32
  private let isOpen = Mutex(true)

  /// Creates the file, or empties it, with mode 0666 less the umask.
  public init(path: String) throws(FileError) {
    let descriptor = try System.retrying(.create, path) {
      Int(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666))
    }
    self.path = path
    self.descriptor = Int32(descriptor)
  }

  deinit {
    if isOpen.withLock({ $0 }) { _ = systemClose(descriptor) }
  }

  /// Reserves room for `size` bytes and makes the file as long.
  ///
  /// - Throws: `ENOSPC` where the disk has no such room, before a byte is written.
  public func allocate(_ size: Int) throws(FileError) {
    let failure = System.allocate(descriptor, size: size)
    if failure != 0 { throw FileError(.allocate, path: path, errno: failure) }
  }

  /// Writes all of `buffer` from `offset` on.
  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
    var done = 0
    while done < buffer.count {
      let rest = UnsafeRawBufferPointer(rebasing: buffer[done..<min(buffer.count, done + 1 << 30)])
      let position = off_t(offset + done)
      done += try System.retrying(.write, path) {
        pwrite(descriptor, rest.baseAddress, rest.count, position)
      }
    }
  }

  /// Writes all of `bytes` from `offset` on.
  public func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
    try bytes.withUnsafeBytes { buffer in
      Result { () throws(FileError) in try write(buffer, at: offset) }
    }.get()
  }

  /// Waits until the bytes are on the disk.
  public func sync() throws(FileError) {
    _ = try System.retrying(.sync, path) { Int(fsync(descriptor)) }
  }

  /// Closes the file and reports what writing had held back. The object is of no use afterwards.
  public func close() throws(FileError) {
    let wasOpen = isOpen.withLock { state in
      defer { state = false }
      return state
    }
    // After EINTR the descriptor is closed all the same: there is nothing to try again.
    if wasOpen, systemClose(descriptor) != 0, errno != EINTR {
      throw FileError(.close, path: path, errno: errno)
    }
  }
}

private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }
