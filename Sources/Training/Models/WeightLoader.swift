import Adapters
import Foundation
import Kernels
import Safetensors

/// Brings a base model's tensors into memory, by their names in memory.
///
/// Matrices stay in the type that they are stored in, or quantized; vectors are widened to f32.
final class WeightLoader {
  private let weights: FrozenWeights
  private let tensors: [String: BaseModel.Tensor]
  /// What checkpoints of the model without a head leave out: `model.`, `transformer.`, `bert.`.
  private let prefix: String
  /// Makes the heads that the checkpoint does not have.
  private var generator: TorchGenerator
  private let deviation: Double

  /// - Parameters:
  ///   - seed: for heads that the checkpoint does not have.
  ///   - deviation: of the weights of such heads.
  init(_ weights: FrozenWeights, prefix: String, seed: UInt64, deviation: Double) {
    self.weights = weights
    self.prefix = prefix
    self.deviation = deviation
    tensors = weights.model.tensorsInMemory
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

  private func found(_ name: String, _ shape: [Int]) throws(ModelError) -> BaseModel.Tensor {
    guard let tensor = find(name) else { throw .missingTensor(name: name) }
    guard tensor.shape.count == shape.count,
      zip(tensor.shape, shape).allSatisfy({ $0 == $1 || $1 == -1 })
    else { throw .shape(tensor: tensor.name, found: tensor.shape, expected: shape) }
    return tensor
  }

  /// The tensor `name`, unpacked where it is quantized.
  ///
  /// - Parameter shape: what it must be; a −1 stands for any size.
  func tensor(_ name: String, _ shape: [Int]) throws(ModelError) -> BaseTensor {
    let tensor = try found(name, shape)
    if let values = try weights.unpacked(tensor) {
      return BaseTensor(name: name, storedName: tensor.name, shape: tensor.shape, values)
    }
    guard let element = ElementType(tensor.dtype) else {
      throw .elementType(tensor: tensor.name, type: tensor.dtype)
    }
    let memory = try weights.read(tensor)
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
    try layer(path, [outFeatures, inFeatures], storedTransposed: false)
  }

  /// A layer stored `in × out`.
  func conv1D(_ path: String, _ outFeatures: Int, _ inFeatures: Int) throws(ModelError) -> Linear {
    try layer(path, [inFeatures, outFeatures], storedTransposed: true)
  }

  private func layer(
    _ path: String, _ shape: [Int], storedTransposed: Bool
  ) throws(ModelError) -> Linear {
    let name = path + ".weight"
    let bias = try optional(path + ".bias", [shape[storedTransposed ? 1 : 0]])
    let stored = try found(name, shape)
    guard let packed = try weights.packed(stored, storedTransposed: storedTransposed) else {
      return Linear(
        path: path, weight: try tensor(name, shape), bias: bias,
        storedTransposed: storedTransposed)
    }
    let weight = BaseTensor(
      name: name, storedName: stored.name, shape: shape,
      element: ElementType(stored.dtype) ?? .bf16, packed)
    return Linear(path: path, weight: weight, bias: bias)
  }

  /// A layer of the head, which is not held quantized: it may be trained itself. Where the checkpoint has
  /// none, a new one: weights from a normal distribution, biases zero, as transformers makes them.
  func head(
    _ path: String, _ outFeatures: Int, _ inFeatures: Int, bias: Bool
  ) throws(ModelError) -> Linear {
    if contains(path + ".weight") {
      return Linear(
        path: path, weight: try tensor(path + ".weight", [outFeatures, inFeatures]),
        bias: try optional(path + ".bias", [outFeatures]))
    }
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
final class TensorMemory: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer
  private let memory: UnsafeMutableRawPointer

  init(bytes count: Int) {
    memory = UnsafeMutableRawPointer.allocate(byteCount: count + 64, alignment: 64)
    bytes = UnsafeMutableRawBufferPointer(start: memory, count: count)
  }

  deinit { memory.deallocate() }

  var start: UnsafeMutableRawPointer { memory }
}
