import Operations

extension Failure {
  init(undo error: UndoError) {
    switch error {
    case .outputMustBeFolder(let path):
      self.init(
        "output", .cannotCreate,
        "the undo record stands beside the model, so \(path) must be a folder: leave out .safetensors",
        path: path)
    case .elementTypeChanges:
      self.init(
        "undo_dtype", .wrongData,
        "--undo keeps what the rounding of a merge forgets, and --dtype rounds all tensors: leave one "
          + "of them out")
    case .nameTaken(let path):
      self.init(
        "undo_name", .wrongData,
        "the base has a weight file called \(path), the name of the undo record; rename it",
        path: path)
    case .notReproducible(let tensor):
      self.init(
        "undo_defect", .defect,
        "the change of \(tensor) cannot be recorded: the kernels disagree about it", tensor: tensor)
    case .noRecord(let path):
      self.init("not_found", .missingInput, "there is no undo record \(path)", path: path)
    case .damaged(let path, let reason):
      self.init(
        "undo_damaged", .wrongData,
        "\(path) is no sound undo record: \(reason); get it again, or subtract with --no-record",
        path: path)
    case .version(let path, let version):
      self.init(
        "undo_version", .wrongData,
        "\(path) is an undo record of version \(version), which this tool does not read; use a newer "
          + "peft-tool",
        path: path)
    case .adapterCount(let path, let recorded, let given):
      self.init(
        "other_adapter", .wrongData,
        "\(path) is of a merge of \(Text.count(recorded, "adapter")), and \(given) are given; name "
          + "those, in the order of the merge",
        path: path)
    case .otherAdapter(let path, let adapter, let difference):
      self.init(
        "other_adapter", .wrongData,
        "\(adapter) is not what \(path) has in its place: \(difference.clause); give the adapters and "
          + "weights of the merge, in its order",
        path: adapter)
    case .otherModel(let path, let tensor):
      self.init(
        "other_model", .wrongData,
        "\(path) belongs to another model: \(tensor) is not as the merge left it; --no-record "
          + "subtracts without it",
        path: path, tensor: tensor)
    case .notRestored(let tensor):
      self.init(
        "not_restored", .wrongData,
        "\(tensor) did not come back as it was, although model, adapters and record are those of the "
          + "merge: the record was made by another version of peft-tool; use that one",
        tensor: tensor)
    case .quantized(let path):
      self.init(
        "quantized", .wrongData,
        "\(path) is quantized: taking a change out of its weights would not bring back the base; "
          + "unmerge the model in 16 or 32 bits, and quantize what comes back",
        path: path)
    case .replaced(let tensors):
      self.init(
        "replaced", .wrongData,
        "without an undo record nobody knows what the adapter's replacements were before: "
          + "\(Self.list(tensors)); --keep-replaced leaves them as they are",
        tensor: tensors.first)
    case .notReversible(let tensor, let method, let reason):
      self.init(
        "not_reversible", .wrongData,
        "\(tensor) cannot be unmerged without an undo record: \(reason.clause(method)); merge again "
          + "with --undo",
        tensor: tensor)
    }
  }
}

extension UndoError.AdapterDifference {
  /// The difference as a clause.
  fileprivate var clause: String {
    switch self {
    case .tensors: "its tensors are others"
    case .configuration: "its configuration is another"
    case .weight(let recorded, let given): "it was merged with weight \(recorded), not \(given)"
    }
  }
}

extension UndoError.Reason {
  fileprivate func clause(_ method: String) -> String {
    switch self {
    case .factorsNeedBase: "the factors of \(method) depend on the base (norms of its rows)"
    case .changeNeedsBase: "the change that \(method) makes depends on the base"
    case .zeroFactor: "\(method) multiplies by zero, after which nothing is left"
    }
  }
}
