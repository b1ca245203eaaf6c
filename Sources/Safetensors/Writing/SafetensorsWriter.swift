import Synchronization

/// Writes a safetensors file whose tensors arrive in pieces, in any order, from any number of threads.
public final class SafetensorsWriter: Sendable {
  public let layout: SafetensorsLayout
  public let file: OutputFile
  /// What of the body has been written.
  private let written = Mutex(ByteCoverage())

  /// Creates the file at its full size and writes the header.
  public init(path: String, layout: SafetensorsLayout) throws(SafetensorsError) {
    self.layout = layout
    file = try SafetensorsError.wrapping { () throws(FileError) in
      let file = try OutputFile(path: path)
      try file.allocate(layout.fileSize)
      try file.write(layout.leadingBytes, at: 0)
      return file
    }
  }

  /// Writes `bytes` into the tensor `name`, from `offset` within it.
  public func write(
    _ bytes: UnsafeRawBufferPointer, to name: String, at offset: Int = 0
  ) throws(SafetensorsError) {
    guard let tensor = layout[name] else { throw .tensorNotFound(name) }
    let byteCount = tensor.byteCount
    guard offset >= 0, offset <= byteCount, bytes.count <= byteCount - offset else {
      throw .rangeOutOfBounds(
        tensor: name, range: offset..<offset + bytes.count, byteCount: byteCount)
    }
    let start = tensor.offsets.lowerBound + offset
    // Claimed before writing: of two threads with the same bytes, one fails.
    guard written.withLock({ $0.insert(start..<start + bytes.count) }) else {
      throw .writtenTwice(tensor: name, range: offset..<offset + bytes.count)
    }
    try SafetensorsError.wrapping { () throws(FileError) in
      try file.write(bytes, at: layout.bodyStart + start)
    }
  }

  /// Writes `bytes` into the tensor `name`, from `offset` within it.
  public func write(
    _ bytes: [UInt8], to name: String, at offset: Int = 0
  ) throws(SafetensorsError) {
    try bytes.withUnsafeBytes { buffer in
      Result { () throws(SafetensorsError) in try write(buffer, to: name, at: offset) }
    }.get()
  }

  /// Checks that every byte has been written, syncs and closes the file.
  public func finish() throws(SafetensorsError) {
    if let gap = written.withLock({ $0.firstGap(in: 0..<layout.bodySize) }),
      let tensor = layout.tensors.first(where: { $0.offsets.upperBound > gap.lowerBound })
    {
      let start = tensor.offsets.lowerBound
      throw .notWritten(
        tensor: tensor.name,
        range: gap.lowerBound - start..<min(gap.upperBound, tensor.offsets.upperBound) - start)
    }
    try SafetensorsError.wrapping { () throws(FileError) in
      try file.sync()
      try file.close()
    }
  }
}
