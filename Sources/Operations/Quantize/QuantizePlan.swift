import Adapters
import Kernels
import Safetensors

/// What a quantization will do, decided from headers and a first look at the weights.
public struct QuantizePlan: Sendable {
  public let request: QuantizeRequest
  let model: OutputModel
  let layers: [any QuantizedLayer]
  let config: ModelConfig?
  public let kept: Int
  public let bytesRead: Int

  /// Names of the weights that are quantized, in natural order.
  public var quantized: [String] { layers.map(\.name).sorted(by: NaturalOrder.precedes) }
  /// The output's files.
  public var files: [String] {
    model.plan.shards.map(\.name) + [model.index?.name].compactMap { $0 }
  }
  /// Bytes of the weight files.
  public var bytes: Int { model.plan.fileBytes }
  /// Bits of codes and scales for each element of the quantized weights.
  public var bitsPerParameter: Double {
    let elements = layers.reduce(0) { $0 + $1.elements }
    return Double(8 * layers.reduce(0) { $0 + $1.storedBytes }) / Double(max(1, elements))
  }

  /// - Parameter looksAtWeights: read the weights for what the layout depends on. Without it the plan
  ///   is not to be carried out, and its size is right but for some bytes a weight.
  public init(
    _ request: QuantizeRequest, looksAtWeights: Bool = true, progress: ProgressReport? = nil
  ) throws {
    let base = try BaseModel(path: request.model)
    if let method = ModelInspection.quantization(of: base) {
      throw QuantizeError.alreadyQuantized(path: request.model, method: method)
    }
    let selection = try QuantizedSelection(base, skip: request.skip)
    guard !selection.layers.isEmpty else {
      throw QuantizeError.nothingToQuantize(path: request.model)
    }
    let sources = try selection.layers.map { layer in
      try QuantizedSource(layer, of: base, cast: request.element)
    }
    let layers = try QuantizedLayers.make(
      sources, scheme: request.scheme, threads: request.threads, looksAtWeights: looksAtWeights,
      progress: progress)

    let byName = Dictionary(layers.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var shards = [[PlannedTensor]](repeating: [], count: base.checkpoint.shards.count)
    for tensor in base.tensors {
      if let layer = byName[tensor.name] {
        shards[tensor.shard] += layer.tensors
      } else {
        shards[tensor.shard].append(PlannedTensor(keeping: tensor, of: base, as: request.element))
      }
    }
    let checkpoint = base.checkpoint
    model = try OutputModel.arrange(
      shards: shards, names: checkpoint.shardNames, indexName: checkpoint.indexName,
      indexMetadata: checkpoint.index?["metadata"]?.object ?? JSONObject(),
      metadata: checkpoint.shards.map { shard in
        shard.header.metadataEntries ?? [(key: "format", value: "pt")]
      },
      layout: request.maximumShardSize.map(ShardLayout.limited) ?? .asInput,
      unit: CompanionName.weight(of:))
    var config = base.config.map(ModelConfig.init)
    config?.set(
      QuantizationConfig.key,
      to: QuantizationConfig.json(request.scheme, skipped: selection.skipped))
    if let element = request.element { config?.setElementType(element) }
    self.request = request
    self.layers = layers
    self.config = config
    kept = base.tensors.count - layers.count
    bytesRead = checkpoint.shards.reduce(0) { $0 + $1.file.size }
  }
}

/// Which layers of a model are quantized, and what its configuration says of the others.
struct QuantizedSelection {
  let layers: [LinearWeights.Layer]
  /// `llm_int8_skip_modules`; nil where a loader finds the same by itself.
  let skipped: [String]?

  init(_ base: BaseModel, skip: [String]) throws {
    let linear = LinearWeights(base)
    var chosen = linear.layers
    var listed: [String] = []
    for text in skip {
      guard let pattern = SkipPattern(text) else { throw QuantizeError.skipPattern(text) }
      let matched = linear.layers.filter {
        pattern.matches($0.module) || pattern.matches($0.checkpointModule)
      }
      guard !matched.isEmpty else { throw QuantizeError.skipPattern(text) }
      listed.append(text)
      // A pattern written for names of the checkpoint says nothing to a loader that has others.
      listed += matched.map(\.module).filter { !pattern.matches($0) }
      let names = Set(matched.map(\.module))
      chosen.removeAll { names.contains($0.module) }
    }
    layers = chosen
    guard !skip.isEmpty || !linear.isDefault else {
      skipped = nil
      return
    }
    var known: Set<String> = []
    skipped = (linear.automatic + linear.doubtful + listed).filter { known.insert($0).inserted }
  }
}

extension LinearWeights.Layer {
  /// The module's name in the checkpoint.
  var checkpointModule: String { String(tensor.name.dropLast(".weight".count)) }
}

extension PlannedTensor {
  /// A tensor of `base` as it is, or in another element type.
  init(keeping tensor: BaseModel.Tensor, of base: BaseModel, as element: ElementType?) {
    let own = ElementType(tensor.dtype)
    self.init(
      name: tensor.name, dtype: own.flatMap { _ in element?.dtype } ?? tensor.dtype,
      shape: tensor.shape, source: base.source(of: tensor, as: element))
  }
}

extension BaseModel {
  /// The bytes of `tensor`, in another element type where it has one and another is wanted.
  func source(of tensor: Tensor, as element: ElementType?) -> any TensorSource {
    let shard = checkpoint.shards[tensor.shard]
    let offset = shard.absoluteRange(of: tensor.info).lowerBound
    guard let element, let own = ElementType(tensor.dtype), own != element else {
      return CopiedTensor(file: shard.file, offset: offset)
    }
    let rows = FileRows(
      file: shard.file, offset: offset,
      rowBytes: MergedTensor.Shape(tensor.shape).columns * own.size)
    return ConvertedTensor(rows: rows, from: own, to: element, shape: tensor.shape)
  }
}

extension QuantizedSource {
  /// The weight of `layer`, cast first and transposed where it is stored `in × out`.
  init(_ layer: LinearWeights.Layer, of base: BaseModel, cast: ElementType?) throws {
    guard let own = ElementType(layer.tensor.dtype) else {
      throw AdapterError.elementType(tensor: layer.tensor.name, dtype: layer.tensor.dtype)
    }
    let element = cast ?? own
    var source = base.source(of: layer.tensor, as: element)
    if layer.storedTransposed {
      source = TransposedTensor(
        source, element: element, rows: layer.shape[0], columns: layer.shape[1])
    }
    self.init(name: layer.tensor.name, shape: layer.shape, element: element, elements: source)
  }
}

enum QuantizedLayers {
  /// The layers of `sources` in `scheme`.
  static func make(
    _ sources: [QuantizedSource], scheme: QuantizationScheme, threads: Int, looksAtWeights: Bool,
    progress: ProgressReport?
  ) throws -> [any QuantizedLayer] {
    guard let code = scheme.code else { return sources.map(Int8Layer.init) }
    let format = try FourBitFormat(code: code, blockSize: scheme.blockSize)
    guard scheme.doubleQuantized else {
      return sources.map {
        FourBitLayer(source: $0, format: format, kind: scheme.kind, nested: nil)
      }
    }
    let scans: [ScannedScales]
    if looksAtWeights {
      scans = try ScaleScan(
        sources: sources, format: format, threads: threads, progress: progress
      ).run()
    } else {
      scans = sources.map { ScannedScales(unseen: format.blocks(elements: $0.count)) }
    }
    return zip(sources, scans).map {
      FourBitLayer(source: $0, format: format, kind: scheme.kind, nested: $1)
    }
  }
}

extension ScannedScales {
  /// Scales of the right number, for a plan that is not carried out.
  init(unseen blocks: Int) {
    self.init(
      offset: 0.1, absmax: Array(repeating: 0, count: NestedScales.blocks(scales: blocks)),
      scales: nil)
  }
}
