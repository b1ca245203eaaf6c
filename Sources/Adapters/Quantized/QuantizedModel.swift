import Kernels
import Safetensors

/// A model whose linear layers bitsandbytes has quantized, or this tool.
public struct QuantizedModel: Sendable {
  /// As it is stored.
  public let base: BaseModel
  public let weights: [QuantizedWeight]
  public let problems: [QuantizedProblem]
  private let byName: [String: Int]

  /// Reads headers and the small tables of every weight.
  public init(_ base: BaseModel) {
    var weights: [QuantizedWeight] = []
    var problems: [QuantizedProblem] = []
    let reader = QuantizedWeightReader(base: base)
    for tensor in base.tensors {
      do throws(QuantizedProblem) {
        if let weight = try reader.weight(of: tensor) { weights.append(weight) }
      } catch { problems.append(error) }
    }
    self.base = base
    self.weights = weights
    self.problems = problems + Self.orphans(base, problems: problems)
    byName = Dictionary(
      weights.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The weight called `name`; nil for one that is not quantized.
  public func weight(_ name: String) -> QuantizedWeight? { byName[name].map { weights[$0] } }

  /// Companions whose weight has no description of its own.
  private static func orphans(
    _ base: BaseModel, problems: [QuantizedProblem]
  ) -> [QuantizedProblem] {
    var reported = Set(problems.map(\.tensor))
    return base.tensors.compactMap { tensor in
      let weight = CompanionName.weight(of: tensor.name)
      guard weight != tensor.name, !reported.contains(weight) else { return nil }
      let isKnown =
        QuantizedWeightReader.types.contains {
          base.contains(CompanionName.state(of: weight, type: $0))
        } || base.contains(CompanionName.rowScales(of: weight))
      guard !isKnown || !base.contains(weight) else { return nil }
      reported.insert(weight)
      return .missing(
        tensor: weight,
        part: base.contains(weight) ? CompanionName.state(of: weight, type: "nf4") : weight)
    }
  }

  /// The model with its weights unpacked, over the same files: names, shapes and types as the model has
  /// them that was quantized.
  public var unpacked: BaseModel {
    let hidden = Set(weights.flatMap { $0.tensors.dropFirst() })
    return base.replacingTensors(
      base.tensors.filter { !hidden.contains($0.name) }.map { tensor in
        guard let weight = weight(tensor.name) else { return tensor }
        return BaseModel.Tensor(
          name: tensor.name, shard: tensor.shard,
          info: TensorInfo(
            name: tensor.name, dtype: weight.element.dtype, shape: weight.unpackedShape,
            offsets: tensor.info.offsets))
      })
  }
}

/// What is wrong with a quantized weight.
public enum QuantizedProblem: Error, Sendable, Equatable {
  /// A part that the weight cannot do without.
  case missing(tensor: String, part: String)
  /// A part of another type or size than the weight asks for.
  case part(tensor: String, part: String, dtype: DType, shape: [Int], expected: String)
  /// The description in `quant_state` cannot be used.
  case state(tensor: String, reason: StateFault)
  /// The scales are those of a layer that was saved after a forward pass on a processor with AVX-512 BF16:
  /// rounded to bf16, in another order.
  case repackedScales(tensor: String, shape: [Int])

  public enum StateFault: String, Sendable {
    /// It is not the JSON that it should be.
    case notReadable
    /// It describes another type of code than its name.
    case otherType
    /// A block size that bitsandbytes does not have.
    case blockSize
    /// It has an offset of the scales, and the scales are not quantized, or the other way round.
    case nesting
    /// A layout of int8 codes that is no longer in use.
    case layout
    /// A table with an infinity or NaN.
    case table
  }

  /// The weight.
  public var tensor: String {
    switch self {
    case .missing(let tensor, _), .part(let tensor, _, _, _, _), .state(let tensor, _),
      .repackedScales(let tensor, _):
      tensor
    }
  }
}
