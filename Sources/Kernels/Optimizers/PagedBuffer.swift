import Foundation

/// Zeroed memory in the pages of a private file, which has no name any more: it is gone with the buffer,
/// however the program ends.
final class PagedBuffer: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  /// - Throws: `paging` with the system's error.
  init(bytes count: Int, folder: String) throws(OptimizerError) {
    // Six letters that the system replaces.
    let name = folder + "/peft-tool-state-" + String(repeating: "X", count: 6)
    var template = Array(name.utf8CString)
    let descriptor = template.withUnsafeMutableBufferPointer { path -> Int32 in
      guard let path = path.baseAddress else { return -1 }
      let descriptor = mkstemp(path)
      if descriptor >= 0 { unlink(path) }
      return descriptor
    }
    guard descriptor >= 0 else { throw .paging(folder: folder, errno: errno) }
    defer { close(descriptor) }
    let length = max(count, 1)
    guard ftruncate(descriptor, off_t(length)) == 0 else {
      throw .paging(folder: folder, errno: errno)
    }
    let start = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let start, start != MAP_FAILED else { throw .paging(folder: folder, errno: errno) }
    bytes = UnsafeMutableRawBufferPointer(start: start, count: length)
  }

  deinit { munmap(bytes.baseAddress, bytes.count) }

  /// Takes the pages out of the program's memory. They are the file's: nothing is lost, and the system
  /// writes them when it needs the room.
  func release() {
    madvise(bytes.baseAddress, bytes.count, MADV_DONTNEED)
  }
}
