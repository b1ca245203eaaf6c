import Safetensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension Failure {
  init(file error: FileError) {
    let path = error.path
    if error.errno == EEXIST {
      self.init(
        "exists", .cannotCreate, "\(path) exists; --force replaces it", path: path)
      return
    }
    let reason =
      error.isUnexpectedEnd
      ? "the file ended early; it was cut off, or is still being written"
      : String(cString: strerror(error.errno))
    switch error.operation {
    case .open where error.errno == ENOENT, .list where error.errno == ENOENT:
      self.init("not_found", .missingInput, "there is no \(path)", path: path)
    case .open, .list:
      self.init("unreadable", .missingInput, "\(path) cannot be opened: \(reason)", path: path)
    case .create:
      self.init(
        "cannot_create", .cannotCreate, "\(path) cannot be created: \(reason)", path: path)
    case .read:
      self.init("read", .inputOutput, "reading \(path) failed: \(reason)", path: path)
    case .write, .allocate, .sync, .close, .rename, .remove:
      let hint = error.errno == ENOSPC ? "; free some space, or write elsewhere" : ""
      self.init(
        "write", .inputOutput, "writing \(path) failed: \(reason)\(hint)", path: path)
    }
  }

  init(checkpoint error: CheckpointError) {
    switch error {
    case .notFound(let path):
      self.init("not_found", .missingInput, "there is no \(path)", path: path)
    case .noWeights(let folder):
      self.init(
        "no_weights", .missingInput,
        "\(folder) holds no model: neither model.safetensors nor model.safetensors.index.json",
        path: folder)
    case .unsupportedWeights(let path):
      self.init(
        "unsupported_weights", .wrongData,
        "\(path) is not a safetensors file; save the model once more with transformers "
          + "(save_pretrained writes safetensors), or download its safetensors version",
        path: path)
    case .ambiguous(let folder, let candidates):
      self.init(
        "ambiguous", .missingInput,
        "\(folder) holds several weight files and none is called model.safetensors; name one: "
          + candidates.joined(separator: ", "),
        path: folder)
    case .file(let error):
      self.init(file: error)
    case .shard(let path, let error):
      self.init(safetensors: error, path: path)
    case .indexNotJSON(let path, let error):
      self.init(
        "index", .wrongData, "\(path) is not JSON (byte \(error.offset)); download it again",
        path: path)
    case .malformedIndex(let path):
      self.init(
        "index", .wrongData, "\(path) has no weight_map of tensor names to file names", path: path)
    case .shardOutsideFolder(let index, let shard):
      self.init(
        "index", .wrongData, "\(index) names \(shard), which is outside its folder", path: index)
    case .missingShards(let folder, let shards):
      self.init(
        "missing_shard", .missingInput,
        "\(folder) lacks \(shards.joined(separator: ", ")); download what is missing",
        path: folder)
    case .inconsistent(let path, let problems):
      let first = problems.first.map(\.sentence) ?? "it contradicts itself"
      let more = problems.count > 1 ? " (and \(problems.count - 1) more)" : ""
      self.init(
        "index", .wrongData, "index and shards of \(path) disagree: \(first)\(more)", path: path)
    }
  }

  init(safetensors error: SafetensorsError, path: String?) {
    if case .file(let error) = error {
      self.init(file: error)
      return
    }
    let place = path.map { $0 + ": " } ?? ""
    self.init(
      "malformed", .wrongData,
      "\(place)\(error.clause); the file is damaged or no safetensors file",
      path: path)
  }
}

extension CheckpointProblem {
  /// The problem as a clause.
  var sentence: String {
    switch self {
    case .wrongShard(let tensor, let stated, let actual):
      "\(tensor) should be in \(stated) and is in \(actual)"
    case .absentTensor(let tensor, let shard): "\(tensor) should be in \(shard) and is nowhere"
    case .duplicateTensor(let tensor, let shards):
      "\(tensor) is in \(shards.joined(separator: " and in "))"
    case .ambiguousEntry(let tensor): "the index names two shards for \(tensor)"
    case .unlistedTensor(let tensor, let shard): "the index does not list \(tensor) of \(shard)"
    case .missingIndexMetadata: "the index has no metadata, without which some readers fail"
    case .wrongTotalSize(let stated, let actual):
      "the index states a total size of \(Text.fixed(stated, 0)) bytes, and it is \(actual)"
    case .shadowedIndex(let name): "\(name) is not used: model.safetensors comes first"
    }
  }
}
