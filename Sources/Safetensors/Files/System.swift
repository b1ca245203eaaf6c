#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The calls that have no portable name.
enum System {
  /// Calls `body` again as long as a signal interrupts it; fails with `errno` where it returns −1.
  static func retrying(
    _ operation: FileError.Operation, _ path: String, _ body: () -> Int
  ) throws(FileError) -> Int {
    while true {
      let result = body()
      if result != -1 { return result }
      if errno != EINTR { throw FileError(operation, path: path, errno: errno) }
    }
  }

  enum Rename {
    /// Fails with `EEXIST` where the target exists.
    case exclusive
    /// The two names change places.
    case exchange
  }

  /// An atomic rename that `rename` does not offer.
  ///
  /// - Returns: 0, or the error; `ENOSYS` where system or file system has no such call.
  static func rename(_ from: String, _ to: String, _ mode: Rename) -> Int32 {
    #if canImport(Darwin)
      let flag = UInt32(mode == .exclusive ? RENAME_EXCL : RENAME_SWAP)
      let result = renamex_np(from, to, flag)
    #else
      // Hidden from Swift by the headers' feature macros; flags from linux/fs.h.
      typealias Renameat2 =
        @convention(c) (
          Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32
        ) -> Int32
      guard let symbol = dlsym(nil, "renameat2") else { return ENOSYS }
      let renameat2 = unsafeBitCast(symbol, to: Renameat2.self)
      let result = renameat2(AT_FDCWD, from, AT_FDCWD, to, mode == .exclusive ? 1 : 2)
    #endif
    guard result != 0 else { return 0 }
    return [EINVAL, ENOTSUP, EOPNOTSUPP].contains(errno) ? ENOSYS : errno
  }

  /// Reserves the blocks of a new file, so that a full disk shows now, and gives it its length.
  static func allocate(_ descriptor: Int32, size: Int) -> Int32 {
    #if !canImport(Darwin)
      // Not `posix_fallocate`, which writes every block itself where the file system cannot reserve.
      typealias Fallocate = @convention(c) (Int32, Int32, off_t, off_t) -> Int32
      if size > 0, let symbol = dlsym(nil, "fallocate") {
        let fallocate = unsafeBitCast(symbol, to: Fallocate.self)
        while fallocate(descriptor, 0, 0, off_t(size)) != 0 {
          if errno == EINTR { continue }
          if errno == ENOSPC || errno == EFBIG || errno == EDQUOT { return errno }
          break
        }
      }
    #endif
    return ftruncate(descriptor, off_t(size)) == 0 ? 0 : errno
  }
}
