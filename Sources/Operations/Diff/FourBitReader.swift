import Adapters
import Kernels
import Safetensors

/// Reads the parts of one 4-bit weight, and checks that they fit together: the loaders in use take
/// whatever they find.
struct FourBitReader {
  private let model: BaseModel
  private let name: String
  private let stateName: String
  private let state: JSONValue

  init(_ model: BaseModel, weight name: String, state: BaseModel.Tensor) throws {
    (self.model, self.name, stateName) = (model, name, state.name)
    do {
      self.state = try JSONValue.parse(try model.bytes(state), allowsNonFinite: true)
    } catch let error as JSONError {
      throw DiffError.quantizedWeight(
        path: model.checkpoint.path, tensor: name,
        reason: "quant_state is not JSON at byte \(error.offset)")
    }
  }

  func weight(_ type: String) throws -> QuantizedWeights.Weight {
    guard let shape = state["shape"]?.array?.compactMap(\.int), shape.count == 2,
      let blockSize = state["blocksize"]?.int, let elementName = state["dtype"]?.string,
      let element = Self.elements[elementName]
    else { throw failure("quant_state has no usable shape, blocksize and dtype") }
    let elements = shape[0] * shape[1]
    do {
      let map = try values("quant_map", count: 16)
      let format = try FourBitFormat(code: FourBitCode(values: map), blockSize: blockSize)
      let packed = try tensor("")
      guard packed.info.byteCount == format.packedBytes(elements: elements) else {
        throw failure("the packed codes have \(packed.info.byteCount) bytes")
      }
      let scales = try blockScales(blocks: format.blocks(elements: elements))
      let source = model.source(packed)
      let parts = ["absmax", "quant_map", "nested_absmax", "nested_quant_map"].map {
        name + "." + $0
      }
      return QuantizedWeights.Weight(
        name: name, encoding: type, shape: shape, element: element, parts: parts + [stateName]
      ) { FourBitSource(packed: source, format: format, scales: scales, element: $0) }
    } catch let error as QuantizationError {
      throw failure("its parts cannot be used: \(error)")
    }
  }

  private static let elements: [String: ElementType] = [
    "float32": .f32, "float16": .f16, "bfloat16": .bf16,
  ]

  private func failure(_ reason: String) -> DiffError {
    .quantizedWeight(path: model.checkpoint.path, tensor: name, reason: reason)
  }

  private func tensor(_ part: String) throws -> BaseModel.Tensor {
    let name = part.isEmpty ? self.name : self.name + "." + part
    guard let tensor = model.tensor(name) else { throw failure("\(name) is missing") }
    return tensor
  }

  private func values(_ part: String, count: Int) throws -> [Float] {
    let tensor = try tensor(part)
    guard tensor.dtype == .f32, tensor.info.elementCount == count else {
      throw failure("\(tensor.name) is not \(count) f32")
    }
    return ElementType.f32.widened(try model.bytes(tensor))
  }

  private func blockScales(blocks: Int) throws -> BlockScales {
    guard model.contains(name + ".nested_absmax") else {
      return .plain(try values("absmax", count: blocks))
    }
    let absmax = try tensor("absmax")
    guard absmax.dtype == .u8, absmax.info.byteCount == blocks else {
      throw failure("\(absmax.name) is not \(blocks) bytes")
    }
    guard state["nested_blocksize"]?.int ?? NestedScales.blockSize == NestedScales.blockSize,
      let offset = state["nested_offset"]?.double
    else { throw failure("quant_state has no usable nested_blocksize and nested_offset") }
    return .nested(
      try NestedScales(
        codes: model.bytes(absmax),
        absmax: values("nested_absmax", count: NestedScales.blocks(scales: blocks)),
        offset: Float(offset), map: values("nested_quant_map", count: 256)))
  }
}
