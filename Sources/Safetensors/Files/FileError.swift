#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A system call on a file failed.
public struct FileError: Error, Equatable, Sendable {
  public enum Operation: String, Equatable, Sendable {
    case open, create, read, write, allocate, sync, close, rename, remove, list
  }

  public let operation: Operation
  public let path: String
  /// The system's error; 0 when the file ended before the bytes asked for.
  public let errno: Int32

  public init(_ operation: Operation, path: String, errno: Int32) {
    self.operation = operation
    self.path = path
    self.errno = errno
  }

  /// Whether the file is shorter than it was, or than its header says.
  public var isUnexpectedEnd: Bool { errno == 0 }
  public var isNotFound: Bool { errno == ENOENT || errno == ENOTDIR }
  public var isAlreadyExists: Bool { errno == EEXIST }
  public var isDiskFull: Bool { errno == ENOSPC || errno == EDQUOT }

  static func notFound(_ path: String) -> FileError { FileError(.open, path: path, errno: ENOENT) }

  public static func alreadyExists(_ path: String) -> FileError {
    FileError(.create, path: path, errno: EEXIST)
  }
}
