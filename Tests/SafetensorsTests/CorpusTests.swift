import Testing

@testable import Safetensors

@Suite struct CorpusTests {
  @Test func holdsEveryCase() {
    #expect(CorpusCase.all.count == 148)
    #expect(Set(CorpusCase.all.map(\.name)).count == 148)
  }

  @Test(arguments: CorpusCase.all)
  func verdictIsTheReferences(_ test: CorpusCase) {
    let outcome = Result { () throws(SafetensorsError) in
      try SafetensorsHeader.parse(file: test.bytes)
    }
    switch (outcome, test.strict, test.reference) {
    case (.failure(let error), let strict?, _): #expect(error.fault == strict)
    case (.failure(let error), nil, .refused(let fault)):
      // To the reference every fault of an entry is one of JSON's.
      #expect(error.fault == fault, "\(error)")
    case (.success(let header), nil, .accepted(let expected)):
      let tensors = header.tensors.map { "\($0.name) \($0.dtype.rawValue) \($0.shape)" }
      #expect(tensors.sorted() == expected.sorted())
    default: Issue.record("\(outcome), reference: \(test.reference)")
    }
  }

  /// The same verdicts through a file.
  @Test func filesGetTheSameVerdict() throws {
    let folder = try TemporaryFolder()
    for test in CorpusCase.all {
      let path = try folder.write(test.bytes, to: "case.safetensors")
      let inMemory = Result { () throws(SafetensorsError) in
        try SafetensorsHeader.parse(file: test.bytes).tensors
      }
      let fromFile = Result { () throws(SafetensorsError) in
        try SafetensorsFile(path: path).header.tensors
      }
      #expect(inMemory == fromFile, "\(test.name)")
    }
  }
}

extension SafetensorsError {
  /// The class of a fault found in a header.
  var fault: CorpusCase.Fault? {
    switch self {
    case .headerTooSmall: .tooSmall
    case .headerTooLarge: .tooLarge
    case .headerPastEnd: .pastEnd
    case .headerNotUTF8: .notUTF8
    case .headerNotJSON, .headerNotObject, .malformedEntry, .malformedMetadata: .json
    case .duplicateTensor: .duplicate
    case .invalidOffset: .offset
    case .sizeOverflow: .overflow
    case .misaligned: .misaligned
    case .sizeMismatch: .size
    case .incompleteCoverage: .coverage
    default: nil
    }
  }
}
