/// The memory of an optimiser's state, zeroed at first: the program's own, or pages of a file that the
/// operating system writes out when memory is short (Dettmers et al. 2023, "paged optimizers").
final class StateMemory: @unchecked Sendable {
  private let bytes: UnsafeMutableRawBufferPointer
  private let owner: AnyObject
  private let paged: PagedBuffer?
  /// Where the next section starts.
  private var used = 0

  /// Bytes that a section of `count` elements takes: whole cache lines.
  static func size<Element>(of count: Int, _ type: Element.Type) -> Int {
    (count * MemoryLayout<Element>.stride + 63) & ~63
  }

  /// - Parameter folder: for the file; nil: in the program's own memory.
  init(bytes count: Int, paging folder: String?) throws(OptimizerError) {
    if let folder {
      let buffer = try PagedBuffer(bytes: count, folder: folder)
      (bytes, owner, paged) = (buffer.bytes, buffer, buffer)
    } else {
      let buffer = ScalarBuffer<Float>(count: (count + 3) / 4)
      (bytes, owner, paged) = (UnsafeMutableRawBufferPointer(buffer.values), buffer, nil)
    }
  }

  /// The next `count` elements.
  func section<Element: BitwiseCopyable>(
    of count: Int, _ type: Element.Type
  ) -> UnsafeMutableBufferPointer<Element> {
    let size = Self.size(of: count, type)
    let part = UnsafeMutableRawBufferPointer(rebasing: bytes[used..<used + size])
    used += size
    let elements = part.bindMemory(to: type)
    return UnsafeMutableBufferPointer(rebasing: elements[..<count])
  }

  /// What is stepped between two calls of `release`: parts of a range of parameters.
  func windows(of range: Range<Int>) -> [Range<Int>] {
    guard paged != nil else { return [range] }
    let most = 1 << 22
    return stride(from: range.lowerBound, to: range.upperBound, by: most).map {
      $0..<min($0 + most, range.upperBound)
    }
  }

  /// Lets go of the pages in memory; what is in them stays.
  func release() { paged?.release() }

  func clear() { _ = bytes.initializeMemory(as: UInt8.self, repeating: 0) }
}
