import Adapters
import Kernels
import Safetensors

/// What a restoration is asked to do.
public struct DequantizeRequest: Sendable {
  public var model: String
  public var output: String
  /// The type of all weights; nil for that which each had before it was quantized.
  public var element: ElementType?
  /// Bytes per shard; nil keeps the model's shards.
  public var maximumShardSize: Int?
  /// Worker threads. Never changes a byte of the output.
  public var threads: Int
  /// Replace an existing output.
  public var replacing = false

  public init(model: String, output: String, threads: Int) {
    (self.model, self.output, self.threads) = (model, output, threads)
  }
}

/// What a restoration will do.
public struct DequantizePlan: Sendable {
  public let request: DequantizeRequest
  let model: OutputModel
  let config: ModelConfig?
  /// Names of the weights that are unpacked, in natural order.
  public let unpacked: [String]
  /// Other tensors.
  public let copied: Int

  public var files: [String] {
    model.plan.shards.map(\.name) + [model.index?.name].compactMap { $0 }
  }
  /// Bytes of the weight files.
  public var bytes: Int { model.plan.fileBytes }

  public init(_ request: DequantizeRequest) throws {
    let quantized = try QuantizedModel(restoring: BaseModel(path: request.model))
    let unpacked = quantized.unpacked
    var shards = [[PlannedTensor]](
      repeating: [], count: quantized.base.checkpoint.shards.count)
    for tensor in unpacked.tensors {
      shards[tensor.shard].append(
        PlannedTensor(unpacking: tensor, of: quantized, as: request.element))
    }
    let checkpoint = quantized.base.checkpoint
    model = try OutputModel.arrange(
      shards: shards, names: checkpoint.shardNames, indexName: checkpoint.indexName,
      indexMetadata: checkpoint.index?["metadata"]?.object ?? JSONObject(),
      metadata: checkpoint.shards.map { shard in
        shard.header.metadataEntries ?? [(key: "format", value: "pt")]
      },
      layout: request.maximumShardSize.map(ShardLayout.limited) ?? .asInput)
    var config = quantized.base.config.map(ModelConfig.init)
    config?.remove(QuantizationConfig.key)
    if let element = request.element { config?.setElementType(element) }
    self.request = request
    self.config = config
    self.unpacked = quantized.weights.map(\.name).sorted(by: NaturalOrder.precedes)
    copied = unpacked.tensors.count - quantized.weights.count
  }
}

/// Restores a quantized model: the output appears whole, or not at all.
public struct DequantizeOperation: Sendable {
  public let plan: DequantizePlan

  public init(_ plan: DequantizePlan) {
    self.plan = plan
  }

  public func run(progress: ProgressReport? = nil) throws {
    progress?.expect(plan.bytes)
    try ModelWriting(
      model: plan.model, config: plan.config, source: plan.request.model,
      output: plan.request.output, replacing: plan.request.replacing,
      threads: plan.request.threads
    ).run(progress: progress)
  }
}

extension QuantizedModel {
  /// The quantized model `base`, all of whose weights are sound.
  init(restoring base: BaseModel) throws {
    let path = base.checkpoint.path
    let model = QuantizedModel(base)
    if let problem = model.problems.first { throw QuantizeError.unsound(path: path, problem) }
    guard !model.weights.isEmpty else {
      guard let method = ModelInspection.quantization(of: base) else {
        throw QuantizeError.notQuantized(path: path)
      }
      throw QuantizeError.unsupportedMethod(path: path, method: method)
    }
    self = model
  }
}

extension BaseModel {
  /// The model as a quantized one; nil when it has no quantized weights.
  func quantized() throws -> QuantizedModel? {
    let model = QuantizedModel(self)
    if let problem = model.problems.first {
      throw QuantizeError.unsound(path: checkpoint.path, problem)
    }
    return model.weights.isEmpty ? nil : model
  }
}

extension PlannedTensor {
  /// A tensor of the unpacked model, in `element` or its own type.
  init(unpacking tensor: BaseModel.Tensor, of model: QuantizedModel, as element: ElementType?) {
    guard let weight = model.weight(tensor.info.name) else {
      self.init(keeping: tensor, of: model.base, as: element)
      return
    }
    let element = element ?? weight.element
    self.init(
      name: tensor.name, dtype: element.dtype, shape: weight.unpackedShape,
      source: DequantizedTensor.source(weight, as: element))
  }
}
