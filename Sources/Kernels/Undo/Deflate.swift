import CZlib

/// zlib streams (RFC 1950) of pieces of memory below 4 GiB.
public enum Deflate {
  /// How matches are looked for.
  public enum Effort: Sendable {
    /// Runs of one byte only: for numbers, in which there is nothing else to find. Much faster.
    case runs
    /// All matches, for text.
    case matches
  }

  /// `bytes` compressed. Which bytes a compressor makes is its own affair: another version of zlib may
  /// make others, which decompress to the same.
  public static func compress(_ bytes: UnsafeRawBufferPointer, _ effort: Effort) -> [UInt8] {
    precondition(bytes.count <= Int(UInt32.max))
    var stream = z_stream()
    let (level, strategy): (Int32, Int32) =
      effort == .runs ? (6, Z_RLE) : (9, Z_DEFAULT_STRATEGY)
    let status = deflateInit2_(
      &stream, level, Z_DEFLATED, 15, 8, strategy, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size))
    precondition(status == Z_OK, "zlib has no memory")
    defer { deflateEnd(&stream) }
    let bound = Int(deflateBound(&stream, uLong(bytes.count)))
    return [UInt8](unsafeUninitializedCapacity: bound) { result, count in
      stream.take(bytes, into: result)
      let status = deflate(&stream, Z_FINISH)
      precondition(status == Z_STREAM_END, "zlib's own bound is too small")
      count = Int(stream.total_out)
    }
  }

  /// The `count` bytes that `bytes` is the compressed form of; nil when it is not.
  public static func decompress(_ bytes: UnsafeRawBufferPointer, count: Int) -> [UInt8]? {
    var stream = z_stream()
    guard bytes.count <= Int(UInt32.max), count < Int(UInt32.max),
      inflateInit_(&stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { return nil }
    defer { inflateEnd(&stream) }
    var isWhole = false
    // One byte more, to see a stream that goes on.
    let result = [UInt8](unsafeUninitializedCapacity: count + 1) { result, used in
      stream.take(bytes, into: result)
      let status = inflate(&stream, Z_FINISH)
      used = Int(stream.total_out)
      isWhole = status == Z_STREAM_END && used == count && stream.avail_in == 0
    }
    return isWhole ? result : nil
  }
}

extension z_stream {
  /// zlib's header has no `const` for the input, which it does not change.
  fileprivate mutating func take(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableBufferPointer<UInt8>
  ) {
    next_in = UnsafeMutablePointer(
      mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
    avail_in = uInt(input.count)
    next_out = output.baseAddress
    avail_out = uInt(min(output.count, Int(UInt32.max)))
  }
}
