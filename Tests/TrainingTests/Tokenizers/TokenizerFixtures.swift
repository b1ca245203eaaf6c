import Foundation
import Safetensors
import Testing

@testable import Training

/// The files of Fixtures/tokenizers.
enum TokenizerFixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../../Fixtures/tokenizers").standardized

  static func json(_ path: String) throws -> JSONValue {
    try JSONValue.parse([UInt8](try Data(contentsOf: folder.appending(path: path))))
  }

  static func corpus() throws -> [String] { try storedCorpus.get() }

  private static let storedCorpus = Result {
    let texts = try json("corpus.json").array?.compactMap(\.string)
    return try #require(texts)
  }

  static func tokenizer(_ family: String) throws -> Tokenizer {
    try Tokenizer(contentsOfFile: folder.appending(path: "families/\(family).json").path)
  }
}

/// Integers packed as base64 of little-endian 16 bits.
func unpackedIDs(_ value: JSONValue) throws -> [Int32] {
  let text = try #require(value.string)
  let bytes = [UInt8](try #require(Data(base64Encoded: text)))
  return stride(from: 0, to: bytes.count, by: 2).map {
    Int32(bytes[$0]) | Int32(bytes[$0 + 1]) << 8
  }
}
