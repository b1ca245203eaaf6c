/// A safetensors file: its header, and its tensors' bytes on demand.
public final class SafetensorsFile: Sendable {
  public let file: InputFile
  public let header: SafetensorsHeader

  public var path: String { file.path }

  /// Opens the file and reads its header; no tensor is read.
  public init(path: String) throws(SafetensorsError) {
    let file = try SafetensorsError.wrapping { () throws(FileError) in try InputFile(path: path) }
    let prefix = try file.bytes(min(SafetensorsHeader.prefixSize, file.size), at: 0)
    let size = try SafetensorsHeader.size(prefix: prefix, fileSize: file.size)
    let header = try file.bytes(size, at: SafetensorsHeader.prefixSize)
    self.file = file
    self.header = try SafetensorsHeader.parse(headerBytes: header, fileSize: file.size)
  }

  /// Where the bytes of `tensor` are in the file.
  public func absoluteRange(of tensor: TensorInfo) -> Range<Int> {
    header.bodyStart + tensor.offsets.lowerBound..<header.bodyStart + tensor.offsets.upperBound
  }

  /// All bytes of `tensor`.
  public func read(_ tensor: TensorInfo) throws(SafetensorsError) -> [UInt8] {
    let range = absoluteRange(of: tensor)
    return try file.bytes(range.count, at: range.lowerBound)
  }

  /// Fills `buffer` with the bytes `range` of `tensor`, counted from its start.
  ///
  /// `buffer` must be as long as the range.
  public func read(
    _ range: Range<Int>, of tensor: TensorInfo, into buffer: UnsafeMutableRawBufferPointer
  ) throws(SafetensorsError) {
    guard range.lowerBound >= 0, range.upperBound <= tensor.byteCount, range.count == buffer.count
    else {
      throw .rangeOutOfBounds(tensor: tensor.name, range: range, byteCount: tensor.byteCount)
    }
    let start = header.bodyStart + tensor.offsets.lowerBound + range.lowerBound
    try SafetensorsError.wrapping { () throws(FileError) in
      try file.read(into: buffer, at: start)
    }
  }

  /// The bytes of a part of `tensor`, row-major.
  public func read(_ slice: TensorSlice, of tensor: TensorInfo) throws(SafetensorsError) -> [UInt8]
  {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(slice.byteCount)
    for range in slice.byteRanges {
      guard range.upperBound <= tensor.byteCount else {
        throw .rangeOutOfBounds(tensor: tensor.name, range: range, byteCount: tensor.byteCount)
      }
      let start = header.bodyStart + tensor.offsets.lowerBound + range.lowerBound
      bytes.append(contentsOf: try file.bytes(range.count, at: start))
    }
    return bytes
  }
}

extension InputFile {
  fileprivate func bytes(_ count: Int, at offset: Int) throws(SafetensorsError) -> [UInt8] {
    try SafetensorsError.wrapping { () throws(FileError) in try read(count: count, at: offset) }
  }
}

extension SafetensorsError {
  /// Runs `body`; a file's error becomes `.file`.
  static func wrapping<Result>(
    _ body: () throws(FileError) -> Result
  ) throws(SafetensorsError) -> Result {
    do throws(FileError) { return try body() } catch { throw .file(error) }
  }
}
