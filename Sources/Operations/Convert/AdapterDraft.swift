import Adapters
import Kernels
import Safetensors

/// A tensor of an adapter that is about to be written.
struct DraftTensor: Sendable {
  enum Content: Sendable {
    /// Bytes of a file as they are; with a container's CRC-32 they are checked.
    case copied(InputFile, Range<Int>, stated: UInt32?)
    /// Bytes that are made when they are needed.
    case made(@Sendable () throws -> [UInt8])
  }

  var name: String
  let dtype: DType
  let shape: [Int]
  let content: Content

  /// The tensor `info` of `file`, named `name`.
  init(_ info: TensorInfo, of file: SafetensorsFile, stated: UInt32? = nil, name: String? = nil) {
    self.name = name ?? info.name
    dtype = info.dtype
    shape = info.shape
    content = .copied(file.file, file.absoluteRange(of: info), stated: stated)
  }

  init(
    _ name: String, dtype: DType, shape: [Int], bytes: @escaping @Sendable () throws -> [UInt8]
  ) {
    (self.name, self.dtype, self.shape, content) = (name, dtype, shape, .made(bytes))
  }

  /// An f32 tensor of values at hand.
  init(_ name: String, shape: [Int], _ values: [Float]) {
    self.init(name, dtype: .f32, shape: shape) { ElementType.f32.rounded(values) }
  }

  var elementCount: Int { shape.reduce(1, *) }

  /// All bytes.
  func bytes() throws -> [UInt8] {
    switch content {
    case .made(let make): return try make()
    case .copied(let file, let range, let stated):
      let bytes = try file.read(count: range.count, at: range.lowerBound)
      if let stated {
        let found = bytes.withUnsafeBytes { CRC32.of($0) }
        guard found == stated else {
          throw AdapterError.checksum(path: file.path, tensor: name, stated: stated, found: found)
        }
      }
      return bytes
    }
  }

  func checksum() throws -> UInt32 {
    switch content {
    case .made(let make): return try make().withUnsafeBytes { CRC32.of($0) }
    case .copied(let file, let range, let stated):
      let found = try CRC32.of(file, range: range)
      if let stated, stated != found {
        throw AdapterError.checksum(path: file.path, tensor: name, stated: stated, found: found)
      }
      return found
    }
  }

  /// The same bytes under another name.
  func renamed(_ name: String) -> DraftTensor {
    var copy = self
    copy.name = name
    return copy
  }

  /// The same bytes seen in another shape.
  func reshaped(_ shape: [Int]) -> DraftTensor {
    precondition(shape.reduce(1, *) == elementCount)
    return DraftTensor(name, dtype: dtype, shape: shape) { [self] in try bytes() }
  }

  /// A matrix with rows and columns exchanged, bit for bit.
  func transposed() -> DraftTensor {
    precondition(shape.count == 2)
    let (rows, columns) = (shape[0], shape[1])
    return DraftTensor(name, dtype: dtype, shape: [columns, rows]) { [self] in
      let source = try bytes()
      guard rows * columns > 0 else { return source }
      let size = source.count / (rows * columns)
      var result = [UInt8](repeating: 0, count: source.count)
      for row in 0..<rows {
        for column in 0..<columns {
          let (from, to) = ((row * columns + column) * size, (column * rows + row) * size)
          for byte in 0..<size { result[to + byte] = source[from + byte] }
        }
      }
      return result
    }
  }

  /// The elements times `factor`, computed in f64 and rounded once through f32 to their own type;
  /// bit for bit the same for a factor of 1.
  func multiplied(by factor: Double) throws -> DraftTensor {
    guard factor != 1 else { return self }
    guard let element = ElementType(dtype) else {
      throw AdapterError.elementType(tensor: name, dtype: dtype)
    }
    return DraftTensor(name, dtype: dtype, shape: shape) { [self] in
      element.rounded(element.widened(try bytes()).map { Float(Double($0) * factor) })
    }
  }
}

/// An adapter that is about to be written: a configuration and tensors in order of their names.
struct AdapterDraft: Sendable {
  /// The bytes of `adapter_config.json`; nil for formats without one.
  var config: [UInt8]?
  var tensors: [DraftTensor]
  var metadata: [String: String] = [:]
  /// Modules whose scale is in their factors, because the format cannot state it.
  var rescaled: [String] = []

  /// Writes a folder of the configuration and `weights`.
  func writeFolder(_ path: String, weights: String, replacing: Bool) throws {
    let folder = try AtomicOutput(.folder, at: path, replacing: replacing)
    if let config {
      let file = try OutputFile(
        path: FileSystem.join(folder.temporaryPath, AdapterFile.configName))
      try file.write(config, at: 0)
      try file.close()
    }
    var metadata = metadata
    if metadata["format"] == nil { metadata["format"] = "pt" }
    try write(FileSystem.join(folder.temporaryPath, weights), metadata: metadata)
    try folder.commit()
  }

  /// Writes one file without a configuration.
  func writeFile(_ path: String, replacing: Bool) throws {
    let file = try AtomicOutput(.file, at: path, replacing: replacing)
    try write(file.temporaryPath, metadata: metadata)
    try file.commit()
  }

  /// Writes a container (spec/adapter-container.md).
  func writeContainer(_ path: String, base: Fingerprint?, replacing: Bool) throws {
    var checksums: [String: UInt32] = [:]
    for tensor in tensors { checksums[tensor.name] = try tensor.checksum() }
    var other = metadata
    other["format"] = nil
    let container = ContainerMetadata(
      config: config ?? [], base: base, checksums: checksums, other: other)
    let file = try AtomicOutput(.file, at: path, replacing: replacing)
    try write(
      file.temporaryPath,
      metadata: Dictionary(container.entries.map { ($0.key, $0.value) }) { $1 })
    try file.commit()
  }

  /// Bytes that are copied at once.
  private static let chunk = 4 << 20

  private func write(_ path: String, metadata: [String: String]) throws {
    let layout = try SafetensorsLayout(
      tensors: tensors.map { ($0.name, $0.dtype, $0.shape) },
      metadata: metadata.isEmpty
        ? nil : metadata.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) })
    let writer = try SafetensorsWriter(path: path, layout: layout)
    for tensor in tensors {
      switch tensor.content {
      case .copied(let file, let range, stated: nil):
        for start in stride(from: 0, to: range.count, by: Self.chunk) {
          let count = min(Self.chunk, range.count - start)
          try writer.write(
            try file.read(count: count, at: range.lowerBound + start), to: tensor.name, at: start)
        }
      default: try writer.write(try tensor.bytes(), to: tensor.name)
      }
    }
    try writer.finish()
  }
}
