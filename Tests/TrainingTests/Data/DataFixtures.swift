import Foundation
import Safetensors
import Testing

@testable import Training

/// A folder that is removed at the end.
final class TemporaryFolder {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "data-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit {
    do { try FileManager.default.removeItem(at: url) } catch { Issue.record(error) }
  }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    let file = url.appending(path: name)
    try Data(bytes).write(to: file)
    return file.path
  }

  /// Writes a safetensors file of little-endian tensors.
  func write(
    tensors: [(name: String, dtype: DType, shape: [Int], bytes: [UInt8])], to name: String
  ) throws -> String {
    var header = JSONObject()
    var body: [UInt8] = []
    for tensor in tensors {
      header[tensor.name] = [
        "dtype": .string(tensor.dtype.rawValue), "shape": .array(tensor.shape.map { .int($0) }),
        "data_offsets": [.int(body.count), .int(body.count + tensor.bytes.count)],
      ]
      body += tensor.bytes
    }
    let text = Array(JSONValue.object(header).serialized().utf8)
    return try write(littleEndian([Int64(text.count)]) + text + body, to: name)
  }
}

func littleEndian<Value: FixedWidthInteger>(_ values: [Value]) -> [UInt8] {
  values.flatMap { value in
    (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }
}

/// The GPT-2 fixture with a chat template of Fixtures/tokenizers/chat.
func pretrainedTokenizer(template: String? = nil) throws -> PretrainedTokenizer {
  let templates = try TokenizerFixtures.json("chat/cases.json")["templates"]
  let source = template.flatMap { templates?[$0]?.string }
  return PretrainedTokenizer(
    tokenizer: try TokenizerFixtures.tokenizer("llama3"),
    chatTemplate: try source.map { source throws(TemplateError) in try ChatTemplate(source) },
    specialTokens: [("bos_token", "<|begin_of_text|>"), ("eos_token", "<|endoftext|>")])
}
