#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file opened for reading at any position, by any number of threads.
///
/// It is never mapped: a file that is truncated while it is open gives an error, not a signal.
public final class InputFile: Sendable {
  public let path: String
  /// The size when the file was opened.
  public let size: Int
  /// For callers with I/O of their own; valid as long as this object lives.
  public let descriptor: Int32

  /// Opens a regular file.
  ///
  /// - Throws: `EISDIR` for a folder, `ESPIPE` for what has no positions: a pipe, a terminal.
  public init(path: String) throws(FileError) {
    // A pipe without a writer must not block the opening.
    let descriptor = try System.retrying(.open, path) {
      Int(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK))
    }
    var status = stat()
    let failure = fstat(Int32(descriptor), &status) == 0 ? Self.refusal(status.st_mode) : errno
    if failure != 0 {
      close(Int32(descriptor))
      throw FileError(.open, path: path, errno: failure)
    }
    self.path = path
    self.size = Int(status.st_size)
    self.descriptor = Int32(descriptor)
  }

  deinit { close(descriptor) }

  private static func refusal(_ mode: mode_t) -> Int32 {
    switch mode & S_IFMT {
    case S_IFREG: 0
    case S_IFDIR: EISDIR
    default: ESPIPE
    }
  }

  /// Fills `buffer` with the bytes from `offset` on.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
    var done = 0
    while done < buffer.count {
      // The system moves less than 2 GiB at once, whatever is asked for.
      let rest = UnsafeMutableRawBufferPointer(
        rebasing: buffer[done..<min(buffer.count, done + 1 << 30)])
      let position = off_t(offset + done)
      let count = try System.retrying(.read, path) {
        pread(descriptor, rest.baseAddress, rest.count, position)
      }
      guard count > 0 else { throw FileError(.read, path: path, errno: 0) }
      done += count
    }
  }

  /// The `count` bytes from `offset` on.
  public func read(count: Int, at offset: Int) throws(FileError) -> [UInt8] {
    // Checked first, so that no size in a file's header can ask for memory that the file does not fill.
    guard offset >= 0, count >= 0, count <= size, offset <= size - count else {
      throw FileError(.read, path: path, errno: 0)
    }
    var failure: FileError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(FileError) {
        try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
        initialized = count
      } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  /// The whole file.
  ///
  /// - Throws: `EFBIG` for more than `limit` bytes.
  public func readAll(limit: Int = 1 << 30) throws(FileError) -> [UInt8] {
    guard size <= limit else { throw FileError(.read, path: path, errno: EFBIG) }
    return try read(count: size, at: 0)
  }
}
