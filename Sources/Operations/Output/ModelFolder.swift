import Safetensors

/// The files of a model folder that are not weights.
enum ModelFolder {
  private static let weightSuffixes = [
    ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".h5",
    ".msgpack", ".gguf", ".onnx", ".onnx_data", ".ckpt", ".mlmodel", ".tflite", ".ot",
  ]
  private static let otherPrefixes = ["adapter_", "optimizer", ".git", ".cache", "training_args"]

  /// Whether a merge leaves `name` behind: weights in any format, training state, version control.
  static func isLeftBehind(_ name: String) -> Bool {
    weightSuffixes.contains(where: name.hasSuffix) || otherPrefixes.contains(where: name.hasPrefix)
  }

  /// Names of a tokenizer's files.
  private static let tokenizerNames: Set<String> = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "chat_template.jinja", "chat_template.json",
  ]

  /// The tokenizer's files in an adapter's folder, where it brings a whole tokenizer of its own.
  static func tokenizerFiles(in folder: String) -> [String] {
    let names = (try? FileSystem.names(in: folder)) ?? []
    let found = names.filter(tokenizerNames.contains)
    let isWhole = found.contains { name in
      ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model"]
        .contains(name)
    }
    return isWhole ? found : []
  }

  /// Copies everything that is not a weight from `source` to `target`, folders included.
  ///
  /// - Parameter except: names at the top level that the caller writes itself.
  static func copyCompanions(
    from source: String, to target: String, except: Set<String> = []
  ) throws {
    for name in try FileSystem.names(in: source)
    where !isLeftBehind(name) && !except.contains(name) {
      let path = FileSystem.join(source, name)
      let copy = FileSystem.join(target, name)
      if FileSystem.isFolder(path) {
        // A folder of weights in another format would be copied as an empty folder: it is left out.
        let members = try FileSystem.names(in: path)
        guard members.contains(where: { !isLeftBehind($0) }) else { continue }
        try FileSystem.makeFolder(copy)
        try copyCompanions(from: path, to: copy)
      } else if FileSystem.isRegularFile(path) {
        try copyFile(from: path, to: copy)
      }
    }
  }

  /// Copies one file's bytes.
  static func copyFile(from source: String, to target: String) throws {
    let input = try InputFile(path: source)
    let output = try OutputFile(path: target)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(1, min(input.size, 1 << 20)), alignment: 64)
    defer { buffer.deallocate() }
    for start in stride(from: 0, to: input.size, by: buffer.count) {
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<min(buffer.count, input.size - start)])
      try input.read(into: part, at: start)
      try output.write(UnsafeRawBufferPointer(part), at: start)
    }
    try output.close()
  }

  /// Writes a small text file.
  static func write(_ text: String, to path: String) throws {
    let output = try OutputFile(path: path)
    try output.write(Array(text.utf8), at: 0)
    try output.close()
  }
}
