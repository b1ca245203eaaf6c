import Adapters
import Kernels
import Safetensors

/// The weights of a checkpoint on their way into memory: those of linear layers quantized where the
/// checkpoint has them so, or where it is asked for. One weight at a time is in memory in another form.
struct FrozenWeights {
  /// As if nothing was quantized: names, shapes and element types.
  let model: BaseModel
  private let quantized: QuantizedModel
  private let scheme: QuantizationScheme?
  /// Weights to be quantized: those that `quantize` takes.
  private let chosen: Set<String>
  /// Where one of them is at a time. Memory that was taken anew for each would not all be given back: what
  /// stays comes to lie between.
  private let scratch: TensorMemory

  init(_ base: BaseModel, quantization scheme: QuantizationScheme?) throws(ModelError) {
    quantized = QuantizedModel(base)
    if let problem = quantized.problems.first { throw .quantized(problem) }
    let isQuantized = !quantized.weights.isEmpty
    if isQuantized, scheme != nil { throw .alreadyQuantized(path: base.checkpoint.path) }
    model = isQuantized ? quantized.unpacked : base
    self.scheme = scheme
    let layers = scheme == nil ? [] : LinearWeights(base).layers
    chosen = Set(layers.map(\.tensor.name))
    scratch = TensorMemory(bytes: layers.map(\.tensor.info.byteCount).max() ?? 0)
  }

  /// The stored bytes of `tensor`.
  func read(_ tensor: BaseModel.Tensor) throws(ModelError) -> TensorMemory {
    let memory = TensorMemory(bytes: tensor.info.byteCount)
    try read(tensor, into: memory.bytes)
    return memory
  }

  private func read(
    _ tensor: BaseModel.Tensor, into bytes: UnsafeMutableRawBufferPointer
  ) throws(ModelError) {
    do {
      try model.checkpoint.shards[tensor.shard].read(
        0..<tensor.info.byteCount, of: tensor.info, into: bytes)
    } catch { throw .reading(error) }
  }

  /// The weight `out × in` as it is held quantized; nil for one that is not.
  func packed(
    _ tensor: BaseModel.Tensor, storedTransposed: Bool
  ) throws(ModelError) -> PackedMatrix? {
    if let weight = quantized.weight(tensor.name) {
      return PackedMatrix(try matrix(weight))
    }
    guard let scheme, chosen.contains(tensor.name), let element = ElementType(tensor.dtype)
    else { return nil }
    let bytes = UnsafeMutableRawBufferPointer(
      rebasing: scratch.bytes[..<tensor.info.byteCount])
    try read(tensor, into: bytes)
    guard storedTransposed else {
      return try encode(
        UnsafeRawBufferPointer(bytes), as: element, shape: tensor.shape, scheme, tensor.name)
    }
    // bitsandbytes turns such a weight around first.
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    let turned = transpose(element.widened(Array(bytes)), rows: rows, columns: columns)
    return try turned.withUnsafeBytes { bytes in
      Result { () throws(ModelError) in
        try encode(bytes, as: .f32, shape: [columns, rows], scheme, tensor.name)
      }
    }.get()
  }

  /// The elements of a quantized weight in f32, in the order of the unpacked model; nil for one that is
  /// not quantized.
  func unpacked(_ tensor: BaseModel.Tensor) throws(ModelError) -> [Float]? {
    guard let weight = quantized.weight(tensor.name) else { return nil }
    let matrix = try matrix(weight)
    let values = [Float](unsafeUninitializedCapacity: weight.elements) { values, count in
      count = weight.elements
      matrix.decodeRows(
        0..<matrix.rows, into: UnsafeMutableBufferPointer(rebasing: values[..<count]))
    }
    return weight.storedTransposed
      ? transpose(values, rows: matrix.rows, columns: matrix.columns) : values
  }

  private func matrix(_ weight: QuantizedWeight) throws(ModelError) -> QuantizedMatrix {
    do {
      return try weight.matrix()
    } catch let error as FileError {
      throw .reading(.file(error))
    } catch {
      throw .quantized(.state(tensor: weight.name, reason: .notReadable))
    }
  }

  private func encode(
    _ bytes: UnsafeRawBufferPointer, as element: ElementType, shape: [Int],
    _ scheme: QuantizationScheme, _ name: String
  ) throws(ModelError) -> PackedMatrix {
    do throws(QuantizationError) {
      guard let code = scheme.code else {
        return PackedMatrix(
          QuantizedMatrix(
            try Int8Tensor(quantizing: bytes, as: element, rows: shape[0], columns: shape[1])))
      }
      let tensor = try FourBitTensor(
        quantizing: bytes, as: element,
        format: FourBitFormat(code: code, blockSize: scheme.blockSize),
        doubleQuantization: scheme.doubleQuantized ? .bnbCPU : nil)
      return PackedMatrix(try QuantizedMatrix(tensor, rows: shape[0], columns: shape[1]))
    } catch { throw .quantization(tensor: name, error) }
  }
}
