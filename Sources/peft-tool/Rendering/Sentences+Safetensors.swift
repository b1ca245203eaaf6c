import Safetensors

extension SafetensorsError {
  /// What is wrong, as a clause.
  var clause: String {
    switch self {
    case .headerTooSmall(let size): "\(size) bytes are too few for a safetensors header"
    case .headerTooLarge(let size, let limit):
      "a header of \(size) bytes is over the format's limit of \(limit)"
    case .headerPastEnd(let header, let file):
      "the header of \(header) bytes runs past the end of the file of \(file)"
    case .headerNotUTF8(let offset): "the header is not UTF-8 at byte \(offset)"
    case .headerNotJSON(let error): "the header is not JSON at byte \(error.offset)"
    case .headerNotObject: "the header is no JSON object"
    case .malformedEntry(let tensor, let fault): "the header's entry for \(tensor) \(fault.clause)"
    case .malformedMetadata(let fault): "the header's __metadata__ \(fault.clause)"
    case .duplicateTensor(let name): "the header lists \(name) twice"
    case .invalidOffset(let tensor, let begin, let end, let expected):
      "\(tensor) is at bytes \(begin) to \(end) and should begin at \(expected)"
    case .sizeOverflow(let tensor, let dtype, let shape):
      "the size of \(tensor) (\(dtype.rawValue) \(Text.shape(shape))) overflows"
    case .misaligned(let tensor, let dtype, let shape):
      "\(tensor) (\(dtype.rawValue) \(Text.shape(shape))) is no whole number of bytes"
    case .sizeMismatch(let tensor, let dtype, let shape, let bytes, let expected):
      "\(tensor) (\(dtype.rawValue) \(Text.shape(shape))) has \(bytes) bytes and needs \(expected)"
    case .incompleteCoverage(let end, let size):
      "the tensors end at byte \(end) and the file at \(size)"
    case .tensorNotFound(let name): "there is no tensor \(name)"
    case .file(let error): Failure(file: error).message
    case .reservedName(let name): "a tensor may not be called \(name)"
    case .duplicateMetadataKey(let key): "the metadata has \(key) twice"
    case .rangeOutOfBounds(let tensor, let range, let count):
      "bytes \(range.lowerBound) to \(range.upperBound) are outside \(tensor) of \(count)"
    case .writtenTwice(let tensor, _): "bytes of \(tensor) were written twice"
    case .notWritten(let tensor, _): "bytes of \(tensor) were not written"
    }
  }
}

extension SafetensorsError.EntryFault {
  fileprivate var clause: String {
    switch self {
    case .notAnObject: "is no object"
    case .missingField(let name): "has no \(name)"
    case .duplicateField(let name): "has \(name) twice"
    case .invalidField(let name): "has a \(name) of the wrong kind"
    case .unknownDType(let name): "has the unknown element type \(name)"
    }
  }
}

extension SafetensorsError.MetadataFault {
  fileprivate var clause: String {
    switch self {
    case .notAnObject: "is no object"
    case .valueNotAString(let key): "has a value for \(key) that is no string"
    case .duplicate: "stands there twice"
    }
  }
}
