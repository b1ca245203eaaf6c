import Adapters
import Kernels
import Safetensors

/// The quantized weights of a checkpoint as bitsandbytes stores them (spec/nf4-checkpoint.md), to be
/// compared with others as what they decode to.
struct QuantizedWeights: Sendable {
  /// One weight and the tensors that it takes to restore it.
  struct Weight: Sendable {
    let name: String
    /// `nf4`, `fp4` or `int8`.
    let encoding: String
    /// `out × in`, also where the unquantized weight is stored `in × out`.
    let shape: [Int]
    /// The type it decodes to; nil where the file does not say.
    let element: ElementType?
    /// Names of the tensors beside it.
    let parts: [String]
    let source: @Sendable (ElementType) -> any TensorSource

    /// The weight decoded, of `element` where the file does not say.
    ///
    /// - Parameter transposed: as `in × out`.
    func decoded(as element: ElementType, transposed: Bool = false) -> ComparedTensor {
      let element = self.element ?? element
      let source = self.source(element)
      return ComparedTensor(
        name: name, dtype: element.dtype, shape: transposed ? shape.reversed() : shape,
        source: transposed
          ? TransposedSource(source, element: element, rows: shape[0], columns: shape[1]) : source,
        storedTransposed: transposed, encoding: encoding)
    }
  }

  private var weights: [String: Weight] = [:]

  subscript(name: String) -> Weight? { weights[name] }

  init(_ model: BaseModel) throws {
    for tensor in model.tensors {
      for type in ["nf4", "fp4"] {
        let suffix = ".quant_state.bitsandbytes__" + type
        guard tensor.name.hasSuffix(suffix) else { continue }
        let name = String(tensor.name.dropLast(suffix.count))
        weights[name] = try FourBitReader(model, weight: name, state: tensor).weight(type)
      }
      if tensor.name.hasSuffix(".SCB") {
        let name = String(tensor.name.dropLast("SCB".count)) + "weight"
        if let codes = model.tensor(name), codes.dtype == .i8 {
          weights[name] = try Self.int8(codes, scales: tensor, in: model)
        }
      }
    }
  }

  /// The tensors of two models such that what is quantized in both is compared decoded, beside its
  /// parts, and what is quantized in one is compared decoded with the other's.
  static func decoding(
    _ a: ComparedModel, _ quantizedA: QuantizedWeights, _ b: ComparedModel,
    _ quantizedB: QuantizedWeights
  ) -> (a: ComparedModel, b: ComparedModel) {
    (
      decode(a, quantizedA, against: b, quantizedB), decode(b, quantizedB, against: a, quantizedA)
    )
  }

  private static func decode(
    _ model: ComparedModel, _ own: QuantizedWeights, against other: ComparedModel,
    _ others: QuantizedWeights
  ) -> ComparedModel {
    guard !own.weights.isEmpty else { return model }
    var hidden: Set<String> = []
    var decoded: [String: ComparedTensor] = [:]
    for (name, weight) in own.weights {
      if others[name] != nil {
        decoded[name] = weight.decoded(as: .f32)
      } else if let plain = other[name], let element = ElementType(plain.dtype) {
        let isTurned =
          plain.storedTransposed && plain.shape.count == 2 && weight.shape == plain.shape.reversed()
        decoded[name] = weight.decoded(as: element, transposed: isTurned)
        hidden.formUnion(weight.parts)
      }
    }
    return ComparedModel(
      model.tensors.filter { !hidden.contains($0.name) }.map { decoded[$0.name] ?? $0 })
  }

  private static func int8(
    _ codes: BaseModel.Tensor, scales: BaseModel.Tensor, in model: BaseModel
  ) throws -> Weight {
    guard codes.shape.count == 2, scales.dtype == .f32, scales.shape == [codes.shape[0]] else {
      throw DiffError.quantizedWeight(
        path: model.checkpoint.path, tensor: codes.name,
        reason: "SCB is not one f32 for each row")
    }
    let values = ElementType.f32.widened(try model.bytes(scales))
    let rows = model.source(codes)
    let (name, columns) = (codes.name, codes.shape[1])
    return Weight(
      name: name, encoding: "int8", shape: codes.shape, element: nil,
      parts: [scales.name, name + "_format"]
    ) { Int8Source(codes: rows, scales: values, columns: columns, element: $0) }
  }
}

extension BaseModel {
  /// All bytes of `tensor`.
  func bytes(_ tensor: Tensor) throws -> [UInt8] {
    try checkpoint.shards[tensor.shard].read(tensor.info)
  }

  /// Where the bytes of `tensor` are.
  func source(_ tensor: Tensor) -> CopiedTensor {
    let shard = checkpoint.shards[tensor.shard]
    return CopiedTensor(
      file: shard.file, offset: shard.absoluteRange(of: tensor.info).lowerBound)
  }
}
