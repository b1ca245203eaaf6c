/// A `.safetensors.index.json`: which shard each tensor is in.
struct ShardMap {
  /// The index's file name.
  let name: String
  let json: JSONValue
  /// Sorted.
  let shardNames: [String]
  /// In the order of the file, without repetitions.
  let entries: [(tensor: String, shard: String)]
  let problems: [CheckpointProblem]

  init(folder: String, name: String) throws(CheckpointError) {
    let path = FileSystem.join(folder, name)
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try InputFile(path: path).readAll()
    } catch { throw .file(error) }
    do throws(JSONError) {
      json = try JSONValue.parse(bytes)
    } catch { throw .indexNotJSON(path: path, error) }
    guard let map = json["weight_map"]?.object else { throw .malformedIndex(path: path) }

    var problems: [CheckpointProblem] = []
    if json["metadata"]?.object == nil { problems.append(.missingIndexMetadata) }
    var entries: [(tensor: String, shard: String)] = []
    var positions: [ExactString: Int] = [:]
    for entry in map.entries {
      guard let shard = entry.value.string else { throw .malformedIndex(path: path) }
      guard Self.staysInFolder(shard) else { throw .shardOutsideFolder(index: path, shard: shard) }
      if let position = positions[ExactString(entry.key)] {
        if ExactString(entries[position].shard) != ExactString(shard) {
          problems.append(.ambiguousEntry(tensor: entry.key))
        }
      } else {
        positions[ExactString(entry.key)] = entries.count
        entries.append((entry.key, shard))
      }
    }
    self.name = name
    self.entries = entries
    self.problems = problems
    shardNames = Set(entries.map { ExactString($0.shard) }).map(\.string)
      .sorted { $0.precedesByUTF8($1) }
  }

  /// Whether a path in the index is one inside the folder. A link there may lead anywhere: the Hub's
  /// cache is made of such links.
  private static func staysInFolder(_ shard: String) -> Bool {
    !shard.isEmpty && !shard.hasPrefix("/") && !shard.utf8.contains(0)
      && !shard.split(separator: "/", omittingEmptySubsequences: false)
        .contains { $0.isEmpty || $0 == "." || $0 == ".." }
  }

  /// Compares the map with what the shards hold.
  func problems(
    tensors: [Checkpoint.Tensor], shardNames: [String], positions: [ExactString: Int]
  ) -> [CheckpointProblem] {
    var problems: [CheckpointProblem] = []
    var listed: Set<ExactString> = []
    for (tensor, shard) in entries {
      listed.insert(ExactString(tensor))
      guard let position = positions[ExactString(tensor)] else {
        problems.append(.absentTensor(tensor: tensor, shard: shard))
        continue
      }
      let actual = shardNames[tensors[position].shard]
      if ExactString(actual) != ExactString(shard) {
        problems.append(.wrongShard(tensor: tensor, stated: shard, actual: actual))
      }
    }
    for tensor in tensors where !listed.contains(ExactString(tensor.name)) {
      problems.append(.unlistedTensor(tensor: tensor.name, shard: shardNames[tensor.shard]))
    }
    if let stated = json["metadata"]?["total_size"]?.double {
      let actual = tensors.reduce(0) { $0 + $1.info.byteCount }
      if stated != Double(actual) {
        problems.append(.wrongTotalSize(stated: stated, actual: actual))
      }
    }
    return problems
  }
}
