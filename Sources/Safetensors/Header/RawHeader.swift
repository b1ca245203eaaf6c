/// What the header's JSON says, before it is known to make sense.
struct RawHeader {
  struct Tensor {
    let name: String
    let dtype: DType
    let dimensions: [UInt64]
    let begin: UInt64
    let end: UInt64

    var shape: [Int] { dimensions.map { Int(clamping: $0) } }

    /// Checks that the range is as long as type and shape say.
    func validateSize() throws(SafetensorsError) {
      let expected: UInt64
      do throws(DType.SizeError) {
        expected = try dtype.byteCount(ofDimensions: dimensions)
      } catch { throw error.about(name, dtype, shape) }
      guard end - begin == expected else {
        throw .sizeMismatch(
          tensor: name, dtype: dtype, shape: shape, bytes: Int(clamping: end - begin),
          expected: Int(clamping: expected))
      }
    }
  }

  /// In the order of the text, with different names.
  private(set) var tensors: [Tensor] = []
  private(set) var metadata: [(key: String, value: String)]?

  /// - Throws: the first fault in the order of the text.
  init(_ bytes: [UInt8]) throws(SafetensorsError) {
    let fault: SafetensorsError?
    do throws(JSONError) {
      var reader = try JSONReader(bytes)
      fault = try read(&reader)
    } catch {
      if error.reason == .invalidUTF8 { throw .headerNotUTF8(offset: error.offset) }
      throw .headerNotJSON(error)
    }
    if let fault { throw fault }
  }

  /// Reads the header; stops at, and returns, the first fault that is not one of JSON's.
  private mutating func read(_ reader: inout JSONReader) throws(JSONError) -> SafetensorsError? {
    guard try reader.peekKind() == .object else { return .headerNotObject }
    var names: Set<ExactString> = []
    var metadataSeen = false
    try reader.beginContainer()
    while let key = try reader.nextKey() {
      if key == SafetensorsHeader.metadataKey {
        if metadataSeen { return .malformedMetadata(.duplicate) }
        metadataSeen = true
        if let fault = try readMetadata(&reader) { return .malformedMetadata(fault) }
        continue
      }
      guard names.insert(ExactString(key)).inserted else { return .duplicateTensor(key) }
      switch try Self.readTensor(&reader, name: key) {
      case .success(let tensor): tensors.append(tensor)
      case .failure(let fault): return .malformedEntry(tensor: key, fault)
      }
    }
    try reader.finish()
    return nil
  }

  private mutating func readMetadata(
    _ reader: inout JSONReader
  ) throws(JSONError) -> SafetensorsError.MetadataFault? {
    switch try reader.peekKind() {
    case .object: break
    case .literal: return try reader.readLiteral() == nil ? nil : .notAnObject
    default: return .notAnObject
    }
    var entries: [(key: String, value: String)] = []
    var positions: [ExactString: Int] = [:]
    try reader.beginContainer()
    while let key = try reader.nextKey() {
      guard try reader.peekKind() == .string else { return .valueNotAString(key: key) }
      let value = try reader.readString()
      // Of a repeated key the last value counts.
      if let position = positions[ExactString(key)] {
        entries[position].value = value
      } else {
        positions[ExactString(key)] = entries.count
        entries.append((key, value))
      }
    }
    metadata = entries
    return nil
  }

  private static func readTensor(
    _ reader: inout JSONReader, name: String
  ) throws(JSONError) -> Result<Tensor, SafetensorsError.EntryFault> {
    guard try reader.peekKind() == .object else { return .failure(.notAnObject) }
    var dtype: DType?
    var dimensions: [UInt64]?
    var offsets: [UInt64]?
    try reader.beginContainer()
    while let field = try reader.nextKey() {
      switch field {
      case "dtype":
        if dtype != nil { return .failure(.duplicateField(field)) }
        guard try reader.peekKind() == .string else { return .failure(.invalidField(field)) }
        let format = try reader.readString()
        dtype = DType(rawValue: format)
        if dtype == nil { return .failure(.unknownDType(format)) }
      case "shape":
        if dimensions != nil { return .failure(.duplicateField(field)) }
        dimensions = try readIntegers(&reader)
        if dimensions == nil { return .failure(.invalidField(field)) }
      case "data_offsets":
        if offsets != nil { return .failure(.duplicateField(field)) }
        offsets = try readIntegers(&reader)
        if offsets?.count != 2 { return .failure(.invalidField(field)) }
      default:
        // Fields of later versions, or of other programs.
        try reader.skipValue()
      }
    }
    guard let dtype else { return .failure(.missingField("dtype")) }
    guard let dimensions else { return .failure(.missingField("shape")) }
    guard let offsets else { return .failure(.missingField("data_offsets")) }
    return .success(
      Tensor(
        name: name, dtype: dtype, dimensions: dimensions, begin: offsets[0], end: offsets[1]))
  }

  /// An array of 64-bit unsigned integers; nil, with the reader anywhere, where it is something else.
  private static func readIntegers(_ reader: inout JSONReader) throws(JSONError) -> [UInt64]? {
    guard try reader.peekKind() == .array else { return nil }
    var integers: [UInt64] = []
    try reader.beginContainer()
    while try reader.nextElement() {
      // `UInt64("-0")` is 0 and `UInt64("+1")` is 1: only digits are an unsigned integer here.
      guard try reader.peekKind() == .number else { return nil }
      let lexeme = try reader.readNumber().lexeme
      guard lexeme.utf8.first != UInt8(ascii: "-"), let integer = UInt64(lexeme) else { return nil }
      integers.append(integer)
    }
    return integers
  }
}

extension SafetensorsError.EntryFault: Error {}
