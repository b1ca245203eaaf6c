import Kernels
import Safetensors

/// Finds the parts of a quantized weight, and checks each against what it should be.
public struct QuantizedWeightReader {
  /// The 4-bit codes.
  public static let types = ["nf4", "fp4"]

  let base: BaseModel

  /// The weight that `tensor` holds the codes of; nil when it holds none.
  func weight(of tensor: BaseModel.Tensor) throws(QuantizedProblem) -> QuantizedWeight? {
    let name = tensor.name
    guard name.hasSuffix(".weight"), CompanionName.weight(of: name) == name else { return nil }
    for type in Self.types {
      if let state = base.tensor(CompanionName.state(of: name, type: type)) {
        return try fourBit(tensor, type: type, state: state)
      }
    }
    if let scales = base.tensor(CompanionName.rowScales(of: name)) {
      return try int8(tensor, scales: scales)
    }
    return nil
  }

  // MARK: - 4 bits

  private func fourBit(
    _ tensor: BaseModel.Tensor, type: String, state stored: BaseModel.Tensor
  ) throws(QuantizedProblem) -> QuantizedWeight {
    let name = tensor.name
    guard let state = QuantState(try bytes(of: stored, limit: 1 << 16, weight: name)) else {
      throw .state(tensor: name, reason: .notReadable)
    }
    guard state.type == type else { throw .state(tensor: name, reason: .otherType) }
    let table = try floats(.quantMap, of: name, count: 16)
    guard let code = try? FourBitCode(values: table) else {
      throw .state(tensor: name, reason: .table)
    }
    guard let format = try? FourBitFormat(code: code, blockSize: state.blockSize) else {
      throw .state(tensor: name, reason: .blockSize)
    }
    let count = state.shape[0] * state.shape[1]
    let packed = format.packedBytes(elements: count)
    // transformers can store the codes as elements of another type.
    guard tensor.info.byteCount == packed,
      [.u8, .i8, .f16, .bf16, .f32, .f64].contains(tensor.dtype)
    else { throw problem(tensor, of: name, "\(packed) bytes of codes") }
    let (scales, parts) = try scales(of: name, blocks: format.blocks(elements: count), state)
    return QuantizedWeight(
      name: name, shape: state.shape, element: state.element,
      storedTransposed: base.storesTransposed(name),
      storage: .fourBit(format, type: type, codes: part(tensor), scales: scales),
      tensors: [name, stored.name, CompanionName.quantMap.name(of: name)] + parts)
  }

  private func scales(
    of name: String, blocks: Int, _ state: QuantState
  ) throws(QuantizedProblem) -> (QuantizedWeight.Scales, [String]) {
    let absmax = try companion(.absmax, of: name)
    if absmax.dtype == .bf16 || absmax.shape.count == 2 {
      throw .repackedScales(tensor: name, shape: absmax.shape)
    }
    guard let nested = base.tensor(CompanionName.nestedAbsmax.name(of: name)) else {
      guard state.nestedOffset == nil else { throw .state(tensor: name, reason: .nesting) }
      guard absmax.dtype == .f32, absmax.shape == [blocks] else {
        throw problem(absmax, of: name, "F32 [\(blocks)]")
      }
      return (.plain(part(absmax)), [absmax.name])
    }
    guard let offset = state.nestedOffset else { throw .state(tensor: name, reason: .nesting) }
    guard absmax.dtype == .u8, absmax.shape == [blocks] else {
      throw problem(absmax, of: name, "U8 [\(blocks)]")
    }
    let groups = NestedScales.blocks(scales: blocks)
    guard let element = ElementType(nested.dtype), nested.shape == [groups] else {
      throw problem(nested, of: name, "F32 [\(groups)]")
    }
    let map = try floats(.nestedQuantMap, of: name, count: 256)
    guard map.allSatisfy(\.isFinite) else { throw .state(tensor: name, reason: .table) }
    return (
      .nested(
        codes: part(absmax), absmax: part(nested), element: element, offset: offset, map: map),
      [absmax.name, nested.name, CompanionName.nestedQuantMap.name(of: name)]
    )
  }

  // MARK: - int8

  private func int8(
    _ tensor: BaseModel.Tensor, scales: BaseModel.Tensor
  ) throws(QuantizedProblem) -> QuantizedWeight {
    let name = tensor.name
    guard tensor.dtype == .i8, tensor.shape.count == 2, tensor.info.byteCount > 0 else {
      throw problem(tensor, of: name, "a matrix of I8")
    }
    guard scales.dtype == .f32, scales.shape == [tensor.shape[0]] else {
      throw problem(scales, of: name, "F32 [\(tensor.shape[0])]")
    }
    var tensors = [name, scales.name]
    if let layout = base.tensor(CompanionName.layout(of: name)) {
      guard try bytes(of: layout, limit: 64, weight: name).allSatisfy({ $0 == 0 }) else {
        throw .state(tensor: name, reason: .layout)
      }
      tensors.append(layout.name)
    }
    return QuantizedWeight(
      name: name, shape: tensor.shape, element: base.statedElement ?? .f16,
      storedTransposed: base.storesTransposed(name),
      storage: .int8(codes: part(tensor), scales: part(scales)), tensors: tensors)
  }

  // MARK: - Parts

  private func companion(
    _ companion: CompanionName, of name: String
  ) throws(QuantizedProblem) -> BaseModel.Tensor {
    guard let tensor = base.tensor(companion.name(of: name)) else {
      throw .missing(tensor: name, part: companion.name(of: name))
    }
    return tensor
  }

  private func floats(
    _ table: CompanionName, of name: String, count: Int
  ) throws(QuantizedProblem) -> [Float] {
    let tensor = try companion(table, of: name)
    guard tensor.dtype == .f32, tensor.shape == [count] else {
      throw problem(tensor, of: name, "F32 [\(count)]")
    }
    return ElementType.f32.widened(try bytes(of: tensor, limit: 4096, weight: name))
  }

  private func bytes(
    of tensor: BaseModel.Tensor, limit: Int, weight: String
  ) throws(QuantizedProblem) -> [UInt8] {
    let part = part(tensor)
    guard part.bytes <= limit, let bytes = try? part.read(0..<part.bytes) else {
      throw problem(tensor, of: weight, "at most \(limit) bytes")
    }
    return bytes
  }

  private func part(_ tensor: BaseModel.Tensor) -> QuantizedWeight.Part {
    let shard = base.checkpoint.shards[tensor.shard]
    let range = shard.absoluteRange(of: tensor.info)
    return QuantizedWeight.Part(file: shard.file, offset: range.lowerBound, bytes: range.count)
  }

  private func problem(
    _ tensor: BaseModel.Tensor, of weight: String, _ expected: String
  ) -> QuantizedProblem {
    .part(
      tensor: weight, part: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
      expected: expected)
  }
}

extension BaseModel {
  /// The element type that `config.json` states.
  var statedElement: ElementType? {
    for key in ["dtype", "torch_dtype"] {
      if let name = config?[key]?.string, let element = ElementType(torchName: name) {
        return element
      }
    }
    return nil
  }
}
