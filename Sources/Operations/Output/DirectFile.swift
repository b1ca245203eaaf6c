import Safetensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A new file that is written in large aligned blocks past the page cache, where the file system
/// allows it.
///
/// A merge writes as much as it reads and reads none of it again: through the page cache it would
/// push out what others use, and every new page costs. What is not aligned (the tail), and file
/// systems without direct writes, go through the page cache.
final class DirectFile: Sendable {
  /// Offsets, lengths and addresses of direct writes are multiples of this.
  static let alignment = 4096
  /// Files smaller than this are written through the page cache.
  private static let smallest = 8 << 20

  private let file: OutputFile
  /// -1 where direct writes are not to be had.
  private let direct: Int32

  /// Creates the file with `size` bytes reserved.
  init(path: String, size: Int) throws(FileError) {
    file = try OutputFile(path: path)
    try file.allocate(size)
    #if canImport(Darwin)
      direct = size >= Self.smallest ? open(path, O_WRONLY | O_CLOEXEC) : -1
      if direct >= 0 { _ = fcntl(direct, F_NOCACHE, 1) }
    #else
      // O_DIRECT is hidden from Swift by the headers' feature macros, and differs by processor.
      #if arch(arm64) || arch(arm)
        let directFlag: Int32 = 0o200000
      #else
        let directFlag: Int32 = 0o40000
      #endif
      direct = size >= Self.smallest ? open(path, O_WRONLY | directFlag | O_CLOEXEC) : -1
    #endif
  }

  deinit {
    if direct >= 0 { close(direct) }
  }

  /// Writes `bytes` at `offset`.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
    let isAligned =
      offset % Self.alignment == 0 && Int(bitPattern: bytes.baseAddress) % Self.alignment == 0
    let done = direct >= 0 && isAligned ? try writeDirect(bytes, at: offset) : 0
    if done < bytes.count {
      try file.write(UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + done)
    }
  }

  /// Writes the whole blocks of `bytes`, and returns how many bytes that were: fewer where the file
  /// system refuses.
  private func writeDirect(
    _ bytes: UnsafeRawBufferPointer, at offset: Int
  ) throws(FileError) -> Int {
    let whole = bytes.count / Self.alignment * Self.alignment
    var done = 0
    while done < whole {
      let count = pwrite(
        direct, bytes.baseAddress.map { $0 + done }, whole - done, off_t(offset + done))
      if count < 0 {
        switch errno {
        case EINTR: continue
        case EINVAL: return done
        default: throw FileError(.write, path: file.path, errno: errno)
        }
      }
      done += count
      if count % Self.alignment != 0 { return done }
    }
    return done
  }

  /// Makes what was written durable, and closes the file.
  func finish() throws(FileError) {
    try file.sync()
    try file.close()
  }
}
