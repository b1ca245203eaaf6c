import Adapters
import Kernels
import Safetensors

/// The tensors of one module of a file that states α as a tensor.
struct ForeignModule {
  let path: String
  /// By PEFT's leaf, and `alpha`.
  let tensors: [String: TensorInfo]
  let file: SafetensorsFile
  let scheme: NamingScheme
  /// α where no tensor states it; nil: the rank.
  var statedAlpha: Double?

  /// The number that a tensor `alpha` holds.
  static func alpha(
    _ tensor: TensorInfo, _ file: SafetensorsFile, scheme: NamingScheme
  ) throws -> Double {
    let bytes = try file.read(tensor)
    let value: Double? =
      tensor.dtype == .f64 && bytes.count == 8
      ? bytes.withUnsafeBytes {
        Double(bitPattern: UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)))
      }
      : AdapterTensor(bytes, dtype: tensor.dtype, shape: tensor.shape)
        .flatMap { $0.count == 1 ? $0.reals.first.map(Double.init) : nil }
    guard let value, value.isFinite else {
      throw ConversionError.unexpectedTensor(
        path: file.path, tensor: tensor.name, scheme: scheme, reason: "is not one finite number")
    }
    return value
  }

  func module() throws -> LowRankAdapter.Module {
    guard let a = tensors["lora_A.weight"], let b = tensors["lora_B.weight"] else {
      throw ConversionError.unexpectedTensor(
        path: file.path, tensor: tensors.values.map(\.name).min() ?? path, scheme: scheme,
        reason: "has no partner: a module needs both factors")
    }
    guard a.shape.count >= 2, let rank = a.shape.first, b.shape.count >= 2, b.shape[1] == rank
    else {
      throw ConversionError.unexpectedTensor(
        path: file.path, tensor: b.name, scheme: scheme,
        reason: "is \(b.shape), which does not fit \(a.shape) of \(a.name)")
    }
    var alpha = statedAlpha ?? Double(rank)
    if let stated = tensors["alpha"] {
      alpha = try Self.alpha(stated, file, scheme: scheme)
    }
    var drafts: [String: DraftTensor] = [:]
    for (leaf, tensor) in tensors where leaf != "alpha" {
      let draft = DraftTensor(tensor, of: file)
      guard leaf == "lora_magnitude_vector" else {
        drafts[leaf] = draft
        continue
      }
      guard draft.elementCount == b.shape[0] else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensor.name, scheme: scheme,
          reason: "has \(draft.elementCount) magnitudes for \(b.shape[0]) outputs")
      }
      guard !tensor.name.hasSuffix(".dora_scale") || tensor.shape.first == b.shape[0] else {
        throw ConversionError.unexpectedTensor(
          path: file.path, tensor: tensor.name, scheme: scheme,
          reason: "is \(tensor.shape), a magnitude for every input; LoRA has one for every output")
      }
      let shape = a.shape.count > 2 ? [1, b.shape[0]] + b.shape.dropFirst(2) : [b.shape[0]]
      drafts[leaf] = draft.reshaped(shape)
    }
    return LowRankAdapter.Module(path: path, rank: rank, alpha: alpha, tensors: drafts)
  }
}
