import Adapters
import Kernels
import Operations
import Safetensors

extension Failure {
  init(adapter error: AdapterError) {
    switch error {
    case .notFound(let path):
      self.init("not_found", .missingInput, "there is no \(path)", path: path)
    case .noConfiguration(let folder):
      self.init(
        "no_adapter", .missingInput, "\(folder) is no PEFT adapter: it has no adapter_config.json",
        path: folder)
    case .noWeights(let folder):
      self.init(
        "no_weights", .missingInput, "\(folder) has no adapter_model.safetensors", path: folder)
    case .pickle(let path):
      self.init(
        "pickle", .wrongData,
        "\(path) is a pickle, which can run code when it is read, so it is not; this writes safetensors "
          + "beside it: python -c \"import torch, safetensors.torch as s; s.save_file({k: v.clone() "
          + "for k, v in torch.load('\(path)', weights_only=True).items()}, "
          + "'\(FileSystem.join(FileSystem.parent(of: path), AdapterFile.weightsName))')\"",
        path: path)
    case .notAContainer(let path):
      self.init(
        "no_adapter", .wrongData,
        "\(path) is no adapter container; name the adapter's folder, or make a container with "
          + "peft-tool convert",
        path: path)
    case .containerVersion(let path, let version):
      self.init(
        "container_version", .wrongData,
        "\(path) has container version \(version), and this tool reads "
          + "\(ContainerMetadata.version); use a newer peft-tool",
        path: path)
    case .containerMetadata(let path, let key, let reason):
      self.init(
        "container", .wrongData, "\(path): the metadata entry \(key) is unsound: \(reason)",
        path: path)
    case .checksum(let path, let tensor, let stated, let found):
      self.init(
        "checksum", .wrongData,
        "\(path): the bytes of \(tensor) have CRC-32 \(found.hexadecimal) and should have "
          + "\(stated.hexadecimal); the file is damaged, get it again",
        path: path, tensor: tensor)
    case .configuration(let path, let reason):
      self.init("config", .wrongData, "\(path) cannot be used: \(reason)", path: path)
    case .unknownMethod(let path, let type):
      self.init(
        "unknown_method", .wrongData,
        "\(path) has peft_type \(type), which is not known; peft-tool inspect lists what is in it",
        path: path)
    case .unsupportedSetting(let path, let name, let value):
      self.init(
        "unsupported_setting", .wrongData,
        "\(path) sets \(name) to \(value), which changes the result and is not supported",
        path: path)
    case .unknownSetting(let path, let name, let value):
      self.init(
        "unknown_setting", .wrongData,
        "\(path) sets \(name) to \(value), which is not known and might change the result; "
          + "--ignore-setting \(name) goes on without it",
        path: path)
    case .unknownTensors(let path, let names):
      self.init(
        "unknown_tensors", .wrongData,
        "\(path) has tensors that its method does not use: \(Self.list(names))", path: path,
        tensor: names.first)
    case .duplicateParameter(let path, let names):
      self.init(
        "duplicate_parameter", .wrongData,
        "\(path): \(names.joined(separator: " and ")) are the same parameter; keep one", path: path,
        tensor: names.first)
    case .module(let path, let module, let tensor, let error):
      self.init(
        "method", .wrongData,
        "\(path): module \(module)\(tensor.map { " on \($0)" } ?? ""): \(error.clause)", path: path,
        tensor: tensor)
    case .unmatched(let path, let modules, let total):
      let first = modules.first
      let nearest = first?.nearest.map { "; the nearest base tensor is \($0)" } ?? ""
      self.init(
        "unmatched", .wrongData,
        "\(path): \(modules.count) of \(total) tensors match nothing in the base, the first is "
          + "\(first?.tensor ?? "-")\(nearest). Is this the adapter's base? --allow-unused merges "
          + "the rest",
        path: path, tensor: first?.tensor)
    case .elementType(let tensor, let dtype):
      self.init(
        "element_type", .wrongData,
        "\(tensor) is stored as \(dtype.rawValue), which cannot be merged; f32, f16 and bf16 can",
        tensor: tensor)
    case .replacementShape(let path, let tensor, let found, let base):
      self.init(
        "shape", .wrongData,
        "\(path): \(tensor) is \(Text.shape(found)) and the base tensor that it replaces is "
          + "\(Text.shape(base))",
        path: path, tensor: tensor)
    case .tokenRows(let path, let tensor, let reason):
      self.init(
        "token_rows", .wrongData, "\(path): \(tensor): \(reason)", path: path, tensor: tensor)
    case .layerReplication(let path, let reason):
      self.init(
        "layer_replication", .wrongData, "\(path): layer_replication cannot be used: \(reason)",
        path: path)
    }
  }

  init(merge error: MergeError) {
    switch error {
    case .notMergeable(let adapter, let method, let reason):
      self.init(
        "not_mergeable", .wrongData, "\(adapter) is \(method), which cannot be merged: \(reason)",
        path: adapter)
    case .changesNothing(let adapters):
      self.init(
        "changes_nothing", .wrongData,
        "merging \(adapters.joined(separator: ", ")) changes no element of the base: the change is "
          + "zero, or too small for the stored type (try --dtype f32)",
        path: adapters.first)
    case .otherBase(let adapter, let stated, let found):
      self.init(
        "other_base", .wrongData,
        "\(adapter) belongs to a base with fingerprint \(stated), and this one has \(found); "
          + "--allow-other-base merges all the same",
        path: adapter)
    case .retention(let tensor, let retention, let minimum):
      self.init(
        "retention", .unsound,
        "\(tensor) keeps \(Text.percent(retention)) of its change, less than the "
          + "\(Text.percent(minimum)) asked for",
        tensor: tensor)
    case .overlap(let tensor, let adapters, let shared):
      self.init(
        "overlap", .wrongData,
        MergeWarning.overlap(tensor: tensor, adapters: adapters, shared: shared).sentence
          + "; without --strict it is merged all the same",
        tensor: tensor)
    case .undoOfQuantized:
      self.init(
        "undo_quantized", .wrongUsage,
        "there is no undo record for quantized weights: keep the base, or merge into its 16-bit "
          + "original without --quantize")
    case .conflictingReplacements(let tensor, let adapters):
      self.init(
        "conflict", .wrongData,
        "\(tensor) is replaced by \(adapters.joined(separator: " and by "))",
        tensor: tensor)
    case .matrixShape(let tensor, let rows, let columns, let found):
      self.init(
        "shape", .wrongData,
        "the change of \(tensor) is \(rows) × \(columns), and the tensor is \(Text.shape(found))",
        tensor: tensor)
    case .outputMustBeFolder(let path):
      self.init(
        "output", .cannotCreate,
        "the result has several files, so \(path) must be a folder: leave out .safetensors",
        path: path)
    }
  }

  /// The first few of `names`.
  static func list(_ names: [String]) -> String {
    let shown = names.prefix(3).joined(separator: ", ")
    return names.count > 3 ? "\(shown) and \(names.count - 3) more" : shown
  }
}

extension MethodError {
  /// The error as a clause.
  var clause: String {
    switch self {
    case .missingTensor(let leaf): "its \(leaf) is missing"
    case .shape(let leaf, let found, let expected):
      "\(leaf) is \(Text.shape(found)) and should be \(expected)"
    case .values(let leaf, let reason): "\(leaf) \(reason)"
    case .setting(let name, let reason): "the setting \(name) \(reason)"
    case .layer(let reason): reason
    case .notMergeable(let reason): "it cannot be merged: \(reason)"
    }
  }
}

extension MergeWarning {
  /// The warning as a sentence.
  var sentence: String {
    switch self {
    case .ambiguousPattern(let adapter, let pattern):
      "\(adapter): \(pattern.patterns.joined(separator: ", ")) of \(pattern.table) all match "
        + "\(pattern.module) with different values; the first in the file counts, as in PEFT"
    case .tiedHeadChanges(let adapter, let embedding):
      "\(adapter) adapts \(embedding), which is also the output head: both change, as in PEFT's "
        + "merge; --untie gives the head a tensor of its own"
    case .untied(let head, let embedding):
      "\(head) is no longer tied to \(embedding): it is a tensor of its own now, and config.json "
        + "says so"
    case .otherBase(let adapter, let stated, let found):
      "\(adapter) belongs to a base with fingerprint \(stated), and this one has \(found)"
    case .overflow(let tensor, let elements):
      "\(Text.count(elements, "element")) of \(tensor) overflowed to infinity in the stored type; "
        + "--dtype f32 or bf16 has the range"
    case .lowRetention(let tensor, let retention):
      (retention < MergeOperation.lostRetention ? "A CHANGE IS LARGELY LOST: " : "")
        + "\(tensor) keeps \(Text.percent(retention)) of its change: it is smaller than the stored type "
        + "can show; --dtype f32 keeps it"
    case .lostInQuantization(let tensor, let retention):
      "A CHANGE IS LARGELY LOST: \(tensor) keeps only \(Text.percent(retention)) of its change: the steps of the quantized codes "
        + "are larger than the change. Merge without --quantize, or with the 16-bit original as "
        + "--base-weights"
    case .checkpoint(let problem): problem.sentence
    case .overlap(let tensor, let adapters, let shared):
      "\(adapters.joined(separator: " and ")) "
        + (shared.map { "both change \($0) of the rows or columns" }
          ?? "change rows and columns that cross")
        + " of \(tensor): the regions of SBoRA adapters should not meet"
    case .untouchedTargets(let adapter, let modules):
      "\(adapter) targets \(Text.count(modules.count, "module")) that it has no tensors for: "
        + Failure.list(modules)
    }
  }
}
