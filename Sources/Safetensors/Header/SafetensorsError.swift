/// What is wrong with a safetensors file, or with a request to make one.
///
/// The header's faults are found in the order of the cases from `headerTooSmall` to
/// `incompleteCoverage`.
public enum SafetensorsError: Error, Equatable, Sendable {
  /// The file has fewer than the 8 bytes of the header's length.
  case headerTooSmall(fileSize: Int)
  /// The header is longer than the format allows.
  case headerTooLarge(headerSize: UInt64, limit: Int)
  /// The header runs past the end of the file.
  case headerPastEnd(headerSize: Int, fileSize: Int)
  /// The header stops being UTF-8 at this byte of it.
  case headerNotUTF8(offset: Int)
  case headerNotJSON(JSONError)
  case headerNotObject
  case malformedEntry(tensor: String, EntryFault)
  case malformedMetadata(MetadataFault)
  case duplicateTensor(String)
  /// The tensor does not begin where the one before it ends, or ends before it begins.
  case invalidOffset(tensor: String, begin: UInt64, end: UInt64, expectedBegin: UInt64)
  /// The size overflows 64 bits.
  case sizeOverflow(tensor: String, dtype: DType, shape: [Int])
  /// A type of less than a byte, and not a whole number of bytes in total.
  case misaligned(tensor: String, dtype: DType, shape: [Int])
  /// The tensor is given `bytes` bytes, and `expected` follow from its type and shape.
  case sizeMismatch(tensor: String, dtype: DType, shape: [Int], bytes: Int, expected: Int)
  /// The tensors end at byte `end` of a file of `fileSize` bytes.
  case incompleteCoverage(end: UInt64, fileSize: Int)

  case tensorNotFound(String)
  case file(FileError)

  /// A tensor may not have this name.
  case reservedName(String)
  case duplicateMetadataKey(String)
  /// The bytes lie outside the tensor.
  case rangeOutOfBounds(tensor: String, range: Range<Int>, byteCount: Int)
  /// Bytes of the tensor were written a second time.
  case writtenTwice(tensor: String, range: Range<Int>)
  /// At the end bytes of the tensor had not been written; the first gap.
  case notWritten(tensor: String, range: Range<Int>)

  /// What is wrong with the header's entry for a tensor.
  public enum EntryFault: Equatable, Sendable {
    case notAnObject
    case missingField(String)
    case duplicateField(String)
    /// The field holds a value of the wrong kind, or a number that is no 64-bit unsigned integer.
    case invalidField(String)
    case unknownDType(String)
  }

  /// What is wrong with the header's `__metadata__`.
  public enum MetadataFault: Equatable, Sendable {
    case notAnObject
    case valueNotAString(key: String)
    case duplicate
  }
}

extension DType.SizeError {
  /// The error, with the tensor it is about.
  func about(_ tensor: String, _ dtype: DType, _ shape: [Int]) -> SafetensorsError {
    switch self {
    case .overflow: .sizeOverflow(tensor: tensor, dtype: dtype, shape: shape)
    case .misaligned: .misaligned(tensor: tensor, dtype: dtype, shape: shape)
    }
  }
}
