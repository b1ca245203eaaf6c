import Adapters
import Foundation
import Kernels
import Safetensors

/// Brings a base model's tensors into memory, by their names in memory.
///
/// Matrices stay in the type that they are stored in; vectors are widened to f32.
final class WeightLoader {
  let base: BaseModel
  private let tensors: [String: BaseModel.Tensor]
  /// What checkpoints of the model without a head leave out: `model.`, `transformer.`, `bert.`.
  private let prefix: String
  /// Makes the heads that the checkpoint does not have.
  private var generator: TorchGenerator
  private let deviation: Double

  /// - Parameters:
  ///   - seed: for heads that the checkpoint does not have.
  ///   - deviation: of the weights of such heads.
  init(_ base: BaseModel, prefix: String, seed: UInt64, deviation: Double) {
    self.base = base
    self.prefix = prefix
    self.deviation = deviation
    tensors = base.tensorsInMemory
    generator = TorchGenerator(seed: seed)
  }

  private func find(_ name: String) -> BaseModel.Tensor? {
    if let tensor = tensors[name] { return tensor }
    return name.hasPrefix(prefix) ? tensors[String(name.dropFirst(prefix.count))] : nil
  }

  func contains(_ name: String) -> Bool { find(name) != nil }

  /// The tensor `name`; nil when there is none.
  func optional(_ name: String, _ shape: [Int]) throws(ModelError) -> BaseTensor? {
    contains(name) ? try tensor(name, shape) : nil
  }

  /// The tensor `name`.
  ///
  /// - Parameter shape: what it must be; a −1 stands for any size.
  func tensor(_ name: String, _ shape: [Int]) throws(ModelError) -> BaseTensor {
    guard let tensor = find(name) else { throw .missingTensor(name: name) }
    guard tensor.shape.count == shape.count,
      zip(tensor.shape, shape).allSatisfy({ $0 == $1 || $1 == -1 })
    else { throw .shape(tensor: tensor.name, found: tensor.shape, expected: shape) }
    let element: ElementType
    switch tensor.dtype {
    case .f32: element = .f32
    case .f16: element = .f16
    case .bf16: element = .bf16
    default: throw .elementType(tensor: tensor.name, type: tensor.dtype)
    }
    let memory = TensorMemory(bytes: tensor.info.byteCount)
    do {
      try base.checkpoint.shards[tensor.shard].read(
        0..<tensor.info.byteCount, of: tensor.info, into: memory.bytes)
    } catch { throw .reading(error) }
    if shape.count == 1 || name.hasSuffix("cls_token") || name.hasSuffix("position_embeddings") {
      return BaseTensor(
        name: name, storedName: tensor.name, shape: tensor.shape,
        element.widened(Array(memory.bytes)))
    }
    return BaseTensor(
      name: name, storedName: tensor.name, shape: tensor.shape, element: element,
      start: memory.start, owner: memory)
  }

  /// The linear layer at `path`, `out × in`, with a bias where the checkpoint has one.
  func linear(_ path: String, _ outFeatures: Int, _ inFeatures: Int) throws(ModelError) -> Linear {
    Linear(
      path: path, weight: try tensor(path + ".weight", [outFeatures, inFeatures]),
      bias: try optional(path + ".bias", [outFeatures]))
  }

  /// A layer stored `in × out`.
  func conv1D(_ path: String, _ outFeatures: Int, _ inFeatures: Int) throws(ModelError) -> Linear {
    Linear(
      path: path, weight: try tensor(path + ".weight", [inFeatures, outFeatures]),
      bias: try optional(path + ".bias", [outFeatures]), storedTransposed: true)
  }

  /// A layer of the head; where the checkpoint has none, a new one: weights from a normal distribution,
  /// biases zero, as transformers makes them.
  func head(
    _ path: String, _ outFeatures: Int, _ inFeatures: Int, bias: Bool
  ) throws(ModelError) -> Linear {
    if contains(path + ".weight") { return try linear(path, outFeatures, inFeatures) }
    let weight = generator.normal(outFeatures * inFeatures, deviation: deviation)
    return Linear(
      path: path,
      weight: BaseTensor(name: path + ".weight", shape: [outFeatures, inFeatures], weight),
      bias: bias
        ? BaseTensor(
          name: path + ".bias", shape: [outFeatures], [Float](repeating: 0, count: outFeatures))
        : nil)
  }

  func layerNorm(_ path: String, _ width: Int, epsilon: Double) throws(ModelError) -> Normalization
  {
    Normalization(
      path: path, weight: try tensor(path + ".weight", [width]),
      bias: try tensor(path + ".bias", [width]), epsilon: Float(epsilon), centers: true)
  }

  func rmsNorm(_ path: String, _ width: Int, epsilon: Double) throws(ModelError) -> Normalization {
    Normalization(
      path: path, weight: try tensor(path + ".weight", [width]), bias: nil,
      epsilon: Float(epsilon), centers: false)
  }
}

/// The bytes of a tensor, at the start of a cache line.
private final class TensorMemory: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer
  private let memory: UnsafeMutableRawPointer

  init(bytes count: Int) {
    memory = UnsafeMutableRawPointer.allocate(byteCount: count + 64, alignment: 64)
    bytes = UnsafeMutableRawBufferPointer(start: memory, count: count)
  }

  deinit { memory.deallocate() }

  var start: UnsafeMutableRawPointer { memory }
}
