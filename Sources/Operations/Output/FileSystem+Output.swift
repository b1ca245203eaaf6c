import Kernels
import Safetensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension FileSystem {
  /// Makes a folder.
  static func makeFolder(_ path: String) throws(FileError) {
    guard mkdir(path, 0o777) == 0 else { throw FileError(.create, path: path, errno: errno) }
  }

  /// Removes a file, if there is one.
  static func removeFile(_ path: String) throws(FileError) {
    guard unlink(path) == 0 || errno == ENOENT else {
      throw FileError(.remove, path: path, errno: errno)
    }
  }

  /// Gives the file `path` the name of the file `target`, which it replaces.
  static func moveFile(_ path: String, over target: String) throws(FileError) {
    guard rename(path, target) == 0 else { throw FileError(.rename, path: target, errno: errno) }
  }
}

extension CRC32 {
  /// CRC-32 of `range` of a file.
  static func of(_ file: InputFile, range: Range<Int>) throws -> UInt32 {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(1, min(range.count, 1 << 20)), alignment: 64)
    defer { buffer.deallocate() }
    var crc = CRC32()
    for start in stride(from: range.lowerBound, to: range.upperBound, by: buffer.count) {
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<min(buffer.count, range.upperBound - start)])
      try file.read(into: part, at: start)
      crc.update(UnsafeRawBufferPointer(part))
    }
    return crc.value
  }
}
