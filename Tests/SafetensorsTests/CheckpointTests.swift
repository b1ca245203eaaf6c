import Foundation
import Testing

@testable import Safetensors

@Suite struct CheckpointTests {
  private let folder: TemporaryFolder
  private let first = "model-00001-of-00002.safetensors"
  private let second = "model-00002-of-00002.safetensors"
  private let indexName = "model.safetensors.index.json"

  init() throws { folder = try TemporaryFolder() }

  /// A file of U8 tensors of two bytes.
  private func shard(_ names: String...) -> [UInt8] {
    let entries = names.enumerated().map { i, name in
      "\"\(name)\":" + entry("U8", "[2]", "[\(2 * i),\(2 * i + 2)]")
    }
    return file("{" + entries.joined(separator: ",") + "}", zeros(2 * names.count))
  }

  private func index(_ map: [(String, String)], totalSize: Int) -> String {
    ShardPlan.index(shardOfTensor: map.map { ($0.0, $0.1) }, totalSize: totalSize)
  }

  /// Two shards with `b`, `a` and `c`, and their index.
  private func writeModel(in sub: String = "") throws {
    try folder.write(shard("b", "a"), to: sub + first)
    try folder.write(shard("c"), to: sub + second)
    try folder.write(
      index([("a", first), ("b", first), ("c", second)], totalSize: 6), to: sub + indexName)
  }

  private func failure(_ path: String) -> CheckpointError? {
    do throws(CheckpointError) {
      _ = try Checkpoint(path: path)
      return nil
    } catch { return error }
  }

  // MARK: - What is opened

  @Test func aFile() throws {
    let path = try folder.write(shard("b", "a"), to: "any.safetensors")
    let model = try Checkpoint(path: path)
    #expect(model.folder == folder.path)
    #expect(model.shardNames == ["any.safetensors"])
    #expect(model.tensors.map(\.name) == ["b", "a"])
    #expect(model["a"]?.info.offsets == 2..<4)
    #expect(model["c"] == nil)
    #expect(model.index == nil && model.indexName == nil && model.problems.isEmpty)
    // Also where the name says nothing.
    #expect(try Checkpoint(path: try folder.write(shard("x"), to: "blob")).tensors.count == 1)
  }

  @Test func shards() throws {
    try writeModel()
    for path in [folder.path, folder.path + "/", folder(indexName)] {
      let model = try Checkpoint(path: path)
      #expect(model.shardNames == [first, second])
      #expect(model.tensors.map(\.name) == ["b", "a", "c"])
      #expect(model.tensors.map(\.shard) == [0, 0, 1])
      let c = try #require(model["c"])
      #expect(model.file(of: c).path.hasSuffix(second))
      #expect(try model.read(c) == [0, 0])
      #expect(model.index?["metadata"]?["total_size"]?.int == 6)
      #expect(model.indexName == indexName)
      #expect(model.problems.isEmpty)
    }
  }

  @Test func aFileOfAnyNameWhenItIsTheOnlyOne() throws {
    try folder.write(shard("x"), to: "diffusion.safetensors")
    #expect(try Checkpoint(path: folder.path).shardNames == ["diffusion.safetensors"])
    try folder.write(shard("y"), to: "other.safetensors")
    #expect(
      failure(folder.path)
        == .ambiguous(
          folder: folder.path, candidates: ["diffusion.safetensors", "other.safetensors"]))
    try folder.write(shard("z"), to: "model.safetensors")
    #expect(try Checkpoint(path: folder.path).shardNames == ["model.safetensors"])
  }

  @Test func anIndexOfAnyNameWhenItIsTheOnlyOne() throws {
    try folder.write(shard("x"), to: "model.fp16-00001-of-00001.safetensors")
    try folder.write(
      index([("x", "model.fp16-00001-of-00001.safetensors")], totalSize: 2),
      to: "model.fp16.safetensors.index.json")
    #expect(
      try Checkpoint(path: folder.path).indexName == "model.fp16.safetensors.index.json")
    try folder.write("{}", to: "other.safetensors.index.json")
    guard case .ambiguous = failure(folder.path) else {
      Issue.record("two indices must be ambiguous")
      return
    }
  }

  @Test func theConfigurationMayNameTheWeights() throws {
    try writeModel()
    try folder.write(shard("special"), to: "special.safetensors")
    try folder.write(#"{"transformers_weights": "special.safetensors"}"#, to: "config.json")
    #expect(try Checkpoint(path: folder.path).tensors.map(\.name) == ["special"])
    // A name that is not there, or leads elsewhere, is not followed.
    try folder.write(#"{"transformers_weights": "../model.safetensors"}"#, to: "config.json")
    #expect(try Checkpoint(path: folder.path).indexName == indexName)
  }

  @Test func theFileShadowsTheIndex() throws {
    try writeModel()
    try folder.write(shard("stale"), to: "model.safetensors")
    let model = try Checkpoint(path: folder.path)
    #expect(model.tensors.map(\.name) == ["stale"])
    #expect(model.problems == [.shadowedIndex(indexName)])
  }

  @Test func linksAreFollowed() throws {
    try folder.write(shard("b", "a"), to: "blobs/1")
    try folder.makeFolder("snapshot")
    #expect(symlink("../blobs/1", folder("snapshot/" + first)) == 0)
    try folder.write(
      index([("a", first), ("b", first)], totalSize: 4), to: "snapshot/" + indexName)
    #expect(try Checkpoint(path: folder("snapshot")).tensors.count == 2)
  }

  // MARK: - What cannot be opened

  @Test func nothingThere() throws {
    #expect(failure(folder("missing")) == .notFound(path: folder("missing")))
    #expect(failure(folder.path) == .noWeights(folder: folder.path))
  }

  @Test(arguments: [
    "pytorch_model.bin", "pytorch_model.bin.index.json", "model.gguf", "tf_model.h5", "weights.pth",
  ])
  func otherFormats(name: String) throws {
    try folder.write("x", to: name)
    #expect(failure(folder.path) == .unsupportedWeights(path: folder(name)))
    #expect(failure(folder(name)) == .unsupportedWeights(path: folder(name)))
  }

  @Test func anUnsoundFile() throws {
    try writeModel()
    try folder.write("abc", to: second)
    #expect(
      failure(folder.path) == .shard(path: folder(second), .headerTooSmall(fileSize: 3)))
  }

  @Test func missingShards() throws {
    try writeModel()
    for name in [first, second] { try FileManager.default.removeItem(atPath: folder(name)) }
    #expect(failure(folder.path) == .missingShards(folder: folder.path, shards: [first, second]))
  }

  @Test(arguments: [
    "/etc/passwd", "../x.safetensors", "a/../../x.safetensors", "..", ".", "", "a//b", "a/", "a\0b",
    "./a",
  ])
  func namesThatLeaveTheFolder(name: String) throws {
    let index = index([("a", name)], totalSize: 2)
    try folder.write(index, to: indexName)
    #expect(
      failure(folder.path) == .shardOutsideFolder(index: folder(indexName), shard: name))
  }

  @Test func shardsInASubfolder() throws {
    try folder.write(shard("a"), to: "weights/one.safetensors")
    try folder.write(index([("a", "weights/one.safetensors")], totalSize: 2), to: indexName)
    #expect(try Checkpoint(path: folder.path).tensors.map(\.name) == ["a"])
  }

  @Test func malformedIndices() throws {
    try folder.write("{", to: indexName)
    #expect(
      failure(folder.path)
        == .indexNotJSON(path: folder(indexName), JSONError(.unexpectedEnd, at: 1)))
    for text in ["[]", "{}", #"{"weight_map":[]}"#, #"{"weight_map":{"a":1}}"#] {
      try folder.write(text, to: indexName)
      #expect(failure(folder.path) == .malformedIndex(path: folder(indexName)))
    }
  }

  // MARK: - Contradictions

  /// The problems of the model with this index, which are the error unless it is opened tolerantly.
  private func problems(_ index: String) throws -> [CheckpointProblem] {
    try folder.write(index, to: indexName)
    let model = try Checkpoint(path: folder.path, tolerant: true)
    let fatal = model.problems.filter(\.isFatal)
    #expect(failure(folder.path) == (fatal.isEmpty ? nil : .inconsistent(path: folder.path, fatal)))
    return model.problems
  }

  @Test func indexAndShardsContradictEachOther() throws {
    try writeModel()
    #expect(
      try problems(index([("a", second), ("b", first), ("c", second)], totalSize: 6))
        == [.wrongShard(tensor: "a", stated: second, actual: first)])
    #expect(
      try problems(
        index([("a", first), ("b", first), ("c", second), ("d", second)], totalSize: 6))
        == [.absentTensor(tensor: "d", shard: second)])
    #expect(
      try problems(index([("b", first), ("c", second)], totalSize: 6))
        == [.unlistedTensor(tensor: "a", shard: first)])
    #expect(
      try problems(index([("a", first), ("b", first), ("c", second)], totalSize: 7))
        == [.wrongTotalSize(stated: 7, actual: 6)])
    let map = "\"a\":\"\(first)\",\"b\":\"\(first)\",\"c\":\"\(second)\""
    #expect(try problems("{\"weight_map\":{\(map)}}") == [.missingIndexMetadata])
    #expect(try problems("{\"metadata\":{},\"weight_map\":{\(map)}}") == [])
    #expect(
      try problems("{\"metadata\":{},\"weight_map\":{\(map),\"a\":\"\(second)\"}}")
        == [.ambiguousEntry(tensor: "a")])
    #expect(
      try problems("{\"metadata\":{},\"weight_map\":{\(map),\"a\":\"\(first)\"}}") == [])
  }

  @Test func aTensorInTwoShards() throws {
    try writeModel()
    try folder.write(shard("c", "a"), to: second)
    let index = index([("a", first), ("b", first), ("c", second)], totalSize: 6)
    #expect(try problems(index) == [.duplicateTensor(tensor: "a", shards: [first, second])])
    let model = try Checkpoint(path: folder.path, tolerant: true)
    #expect(model.tensors.map(\.name) == ["b", "a", "c"])
    #expect(model["a"]?.shard == 0)
  }
}
