import Kernels

/// The buffers of one worker, allocated when they are first asked for and reused: the first touch of a
/// page is dear. Pointers are valid until the same buffer is asked for again.
final class Workspace {
  private var buffers: [Buffer: UnsafeMutableRawBufferPointer] = [:]

  /// The purposes that buffers serve at the same time.
  enum Buffer: Hashable {
    /// Stored rows of the base.
    case base
    /// The same rows in f32.
    case widened
    /// The rows being transformed, in f32.
    case band
    /// The change, in f32.
    case delta
    /// Factors of a scaled change.
    case factors
    /// One output row that is only wanted in part.
    case row
    /// Stored rows of a replacement.
    case replacement
    /// Rows on the way from one element type to another, in f32.
    case converted
    /// Statistics of rows.
    case statistics
    /// Stored rows of W', beside those of W0.
    case merged
    /// Rows in the code of an undo record.
    case code
    /// Elements to be quantized, as stored.
    case elements
    /// Their codes.
    case codes
    /// Scales of their blocks or rows, in f32.
    case scales
    /// What is left of the scales in 8 bits, in f32.
    case restored
    /// What the codes stand for, in f32.
    case decoded
    /// The elements before a change, in f32.
    case original
  }

  deinit {
    for buffer in buffers.values { buffer.deallocate() }
  }

  /// At least `count` bytes for `purpose`, aligned to 64; the contents are whatever they were.
  func bytes(_ purpose: Buffer, count: Int) -> UnsafeMutableRawBufferPointer {
    if let buffer = buffers[purpose], buffer.count >= count {
      return UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    }
    buffers[purpose]?.deallocate()
    let rounded = (count + 4095) & ~4095
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: rounded, alignment: 64)
    buffers[purpose] = buffer
    return UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
  }

  /// At least `count` f32 for `purpose`.
  func floats(_ purpose: Buffer, count: Int) -> UnsafeMutableBufferPointer<Float> {
    bytes(purpose, count: count * MemoryLayout<Float>.stride).bindMemory(to: Float.self)
  }
}
