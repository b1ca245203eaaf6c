import Kernels
import Safetensors
import Synchronization

/// Reads an adapter's tensors when they are needed, module by module, and lets go of them again: an
/// adapter is never in memory whole.
public final class AdapterLoader: Sendable {
  public let binding: AdapterBinding
  private let file: AdapterFile
  private let layers: [LayerGeometry]
  /// Tensors that all modules share stay in memory once one module has asked for them.
  private let shared = Mutex<[String: AdapterTensor]?>(nil)

  public init(_ binding: AdapterBinding) {
    self.binding = binding
    file = binding.contents.file
    layers = binding.layers
  }

  /// The method of `bound`, with its parameters in memory.
  public func method(of bound: BoundModule) throws -> any AdapterMethod {
    var tensors: [String: AdapterTensor] = [:]
    let ignored = Set(bound.module.method.descriptor.ignoredLeaves)
    for (leaf, info) in bound.module.tensors where !ignored.contains(leaf) {
      tensors[leaf] = try tensor(info)
    }
    do {
      if let expert = bound.expert, let a = tensors["lora_A.weight"],
        let b = tensors["lora_B.weight"]
      {
        let slice = try expert.slice(a: a, b: b)
        tensors["lora_A.weight"] = slice.a
        tensors["lora_B.weight"] = slice.b
      }
      let module = AdapterModule(
        layer: bound.layer, settings: bound.module.settings, tensors: tensors,
        context: AdapterContext(shared: try sharedTensors(), layers: layers))
      return try bound.module.method.init(module)
    } catch let error as MethodError {
      throw AdapterError.module(
        path: file.path, module: bound.module.path, tensor: bound.weight, error: error)
    }
  }

  /// The elements of one of the adapter's tensors, checked against the container's CRC-32.
  public func tensor(_ info: TensorInfo) throws -> AdapterTensor {
    let bytes = try self.bytes(info)
    guard let tensor = AdapterTensor(bytes, dtype: info.dtype, shape: info.shape) else {
      throw AdapterError.elementType(tensor: info.name, dtype: info.dtype)
    }
    return tensor
  }

  /// The bytes of one of the adapter's tensors, checked against the container's CRC-32.
  public func bytes(_ info: TensorInfo) throws -> [UInt8] {
    let bytes = try file.weights.read(info)
    if let stated = file.container?.checksums[info.name] {
      let found = bytes.withUnsafeBytes { CRC32.of($0) }
      guard found == stated else {
        throw AdapterError.checksum(
          path: file.path, tensor: info.name, stated: stated, found: found)
      }
    }
    return bytes
  }

  private func sharedTensors() throws -> [String: AdapterTensor] {
    try shared.withLock { cached in
      if let cached { return cached }
      let loaded = try binding.contents.shared.mapValues { try tensor($0) }
      cached = loaded
      return loaded
    }
  }
}

extension AdapterTensor {
  /// The tensor of `bytes`; nil for element types that no adapter is stored in.
  public init?(_ bytes: [UInt8], dtype: DType, shape: [Int]) {
    func integers<T: FixedWidthInteger>(_: T.Type) -> Values {
      bytes.withUnsafeBytes { raw in
        .integer(
          stride(from: 0, to: raw.count, by: MemoryLayout<T>.size).map {
            Int(
              truncatingIfNeeded: T(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: T.self))
            )
          })
      }
    }
    switch dtype {
    case .f32: self.init(shape: shape, ElementType.f32.widened(bytes))
    case .f16: self.init(shape: shape, ElementType.f16.widened(bytes))
    case .bf16: self.init(shape: shape, ElementType.bf16.widened(bytes))
    case .f64:
      self.init(shape: shape, Self.floats(bytes, size: 8) { Float64.round(from: $0, to: $1) })
    case .f8e4m3:
      self.init(shape: shape, Self.floats(bytes, size: 1) { Float8.e4m3fn.widen(from: $0, to: $1) })
    case .f8e5m2:
      self.init(shape: shape, Self.floats(bytes, size: 1) { Float8.e5m2.widen(from: $0, to: $1) })
    case .bool, .u8: self.init(shape: shape, values: integers(UInt8.self))
    case .i8: self.init(shape: shape, values: integers(Int8.self))
    case .i16: self.init(shape: shape, values: integers(Int16.self))
    case .u16: self.init(shape: shape, values: integers(UInt16.self))
    case .i32: self.init(shape: shape, values: integers(Int32.self))
    case .u32: self.init(shape: shape, values: integers(UInt32.self))
    case .i64: self.init(shape: shape, values: integers(Int64.self))
    default: return nil
    }
  }

  /// `bytes`, elements of `size` bytes, turned into f32 by `convert`.
  private static func floats(
    _ bytes: [UInt8], size: Int,
    _ convert: (UnsafeRawBufferPointer, UnsafeMutableBufferPointer<Float>) -> Void
  ) -> [Float] {
    var values = [Float](repeating: 0, count: bytes.count / size)
    bytes.withUnsafeBytes { bytes in values.withUnsafeMutableBufferPointer { convert(bytes, $0) } }
    return values
  }
}
