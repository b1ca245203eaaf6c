import Foundation
import Safetensors
import Testing

@testable import Training

@Suite struct DatasetTests {
  private func encoder() throws -> RecordEncoder {
    RecordEncoder(
      tokenizer: try pretrainedTokenizer(), task: .causalLanguageModel, maximumLength: nil)
  }

  @Test func jsonLines() throws {
    let folder = try TemporaryFolder()
    let text =
      "\n {\"text\": \"one\"}\r\n\n\t\n{\"text\": \"two\"}\n{\"text\": 3}\n{\"text\": \"é\"}"
    let path = try folder.write(text.utf8, to: "data.jsonl")
    let dataset = try JSONLinesDataset(path: path, encoder: try encoder())
    #expect(dataset.count == 4)
    let encoder = try encoder()
    #expect(try dataset.example(at: 0) == encoder.encode(["text": "one"]))
    #expect(try dataset.example(at: 1) == encoder.encode(["text": "two"]))
    #expect(try dataset.example(at: 3) == encoder.encode(["text": "é"]))
    #expect(throws: DataError.record(path: path, line: 6, .wrongType(key: "text"))) {
      try dataset.example(at: 2)
    }
  }

  @Test func brokenJSONIsReportedWithItsLine() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("{\"text\": \"a\"}\n{\"text\": }\n".utf8, to: "data.jsonl")
    let dataset = try JSONLinesDataset(path: path, encoder: try encoder())
    #expect(
      throws: DataError.record(path: path, line: 2, .json(JSONError(.expectedValue, at: 9)))
    ) { try dataset.example(at: 1) }
    let empty = try folder.write("\n \n".utf8, to: "empty.jsonl")
    #expect(throws: DataError.empty(path: empty)) {
      try JSONLinesDataset(path: empty, encoder: try self.encoder())
    }
  }

  /// Lines that cross the blocks in which the file is searched.
  @Test func longLines() throws {
    let folder = try TemporaryFolder()
    let line = "{\"text\": \"a\"" + String(repeating: " ", count: 700_000) + "}\n"
    let path = try folder.write((line + line + line).utf8, to: "data.jsonl")
    let dataset = try JSONLinesDataset(path: path, encoder: try encoder())
    #expect(dataset.count == 3)
    let example = try encoder().encode(["text": "a"])
    for i in 0..<3 { #expect(try dataset.example(at: i) == example) }
  }

  @Test func tokensFromSafetensors() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      tensors: [
        ("input_ids", .i64, [2, 3], littleEndian([1, 2, 3, 4, 5, 0] as [Int64])),
        ("attention_mask", .u8, [2, 3], [1, 1, 1, 1, 1, 0]),
        ("labels", .i32, [2, 3], littleEndian([-100, 2, 3, 4, 5, -100] as [Int32])),
      ], to: "data.safetensors")
    let dataset = try SafetensorsDataset(path: path)
    #expect(dataset.count == 2)
    #expect(
      try dataset.example(at: 1)
        == Example(ids: [4, 5, 0], labels: [4, 5, -100], attentionMask: [1, 1, 0]))
  }

  @Test func labelsOfTokensAreTheTokens() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      tensors: [
        ("input_ids", .i16, [1, 3], littleEndian([7, 8, 9] as [Int16])),
        ("attention_mask", .bool, [1, 3], [0, 1, 1]),
      ], to: "data.safetensors")
    #expect(
      try SafetensorsDataset(path: path).example(at: 0)
        == Example(ids: [7, 8, 9], labels: [-100, 8, 9], attentionMask: [0, 1, 1]))
  }

  @Test func imagesFromSafetensors() throws {
    let folder = try TemporaryFolder()
    // 1, −2, 0.5, … in bf16.
    let pixels: [UInt16] = [0x3F80, 0xC000, 0x3F00, 0x0000, 0x4000, 0x4040, 0x4080, 0x40A0]
    let path = try folder.write(
      tensors: [
        ("pixel_values", .bf16, [2, 1, 2, 2], littleEndian(pixels)),
        ("labels", .i64, [2], littleEndian([1, 0] as [Int64])),
      ], to: "data.safetensors")
    let dataset = try SafetensorsDataset(path: path)
    #expect(
      try dataset.example(at: 0)
        == Example(classLabel: 1, pixels: [1, -2, 0.5, 0], pixelShape: [1, 2, 2]))
    var iterator = BatchLoader(
      dataset, settings: BatchSettings(batchSize: 2, sequenceLength: 8, shuffles: false)
    ).batches(epoch: 0)
    let batch = try #require(try iterator.next())
    #expect(batch.pixels == [1, -2, 0.5, 0, 2, 3, 4, 5])
    #expect(batch.classLabels == [1, 0] && batch.labels.isEmpty && batch.rows == 2)
  }

  @Test func tensorsThatDoNotFit() throws {
    let folder = try TemporaryFolder()
    func problem(
      _ tensors: [(name: String, dtype: DType, shape: [Int], bytes: [UInt8])]
    ) throws -> (String, DataError.TensorProblem)? {
      let path = try folder.write(tensors: tensors, to: "data.safetensors")
      do throws(DataError) {
        let dataset = try SafetensorsDataset(path: path)
        _ = try dataset.example(at: 0)
        return nil
      } catch {
        guard case .tensor(_, let name, let problem) = error else { return nil }
        return (name, problem)
      }
    }
    let ids = ("input_ids", DType.u8, [2, 2], [1, 2, 3, 4] as [UInt8])
    let none = try #require(try problem([("weights", .u8, [1], [0])]))
    #expect(none == ("input_ids", .missing))
    let mask = try #require(try problem([ids, ("attention_mask", .u8, [1, 2], [1, 1])]))
    #expect(mask == ("attention_mask", .unexpectedShape([1, 2])))
    let labels = try #require(
      try problem([ids, ("labels", .f32, [2], littleEndian([0, 0] as [UInt32]))]))
    #expect(labels == ("labels", .unsupportedType(.f32)))
    let range = try #require(
      try problem([("input_ids", .i64, [1, 1], littleEndian([1 << 40] as [Int64]))]))
    #expect(range == ("input_ids", .valueOutOfRange))
  }

  @Test func tokenizerFolders() throws {
    let folder = try TemporaryFolder()
    let file = TokenizerFixtures.folder.appending(path: "families/gpt2.json")
    _ = try folder.write([UInt8](try Data(contentsOf: file)), to: "tokenizer.json")
    _ = try folder.write(
      #"""
      {"eos_token": {"content": "<|endoftext|>", "special": true}, "model_max_length": 1e30,
       "chat_template": [{"name": "tool_use", "template": "{{ x"},
                         {"name": "default", "template": "{{ eos_token }}!"}]}
      """#.utf8, to: "tokenizer_config.json")
    let pretrained = try PretrainedTokenizer(folder: folder.url.path)
    #expect(pretrained.endOfTextID == 0)
    #expect(pretrained.paddingID == 0)
    #expect(
      try pretrained.chatTemplate?.render(messages: [], variables: pretrained.templateVariables)
        .text
        == "<|endoftext|>!")
    let template = try folder.write("{{ 1".utf8, to: "chat_template.jinja")
    #expect(
      throws: PretrainedTokenizer.LoadError.template(
        path: template, .syntax(line: 1, found: "end of template"))
    ) { try PretrainedTokenizer(folder: folder.url.path) }
  }
}
