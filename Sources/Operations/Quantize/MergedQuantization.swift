import Adapters
import Kernels
import Safetensors

/// A merge whose sums are written quantized.
struct MergedQuantization: Sendable {
  let scheme: QuantizationScheme
  /// `quantization_config`.
  let config: JSONValue
  /// Names of the output's weights that are quantized, and whether they are stored `in × out` otherwise.
  private let storedTransposed: [String: Bool]
  private let base: QuantizedModel?
  /// Weights that nobody changes are copied as they are quantized already.
  private let keepsUntouched: Bool

  /// - Parameters:
  ///   - kind: what is asked for. A base that is quantized so already keeps its own block size.
  ///   - model: the output's tensors, unpacked.
  ///   - base: the quantized base; nil for one that is not.
  init(
    _ kind: QuantizationScheme.Kind, model: BaseModel, base: QuantizedModel?
  ) throws {
    if let base {
      let own = base.weights.first?.storage.scheme
      keepsUntouched = own?.kind == kind && base.weights.allSatisfy { $0.storage.scheme == own }
      scheme = try keepsUntouched ? own ?? QuantizationScheme(kind) : QuantizationScheme(kind)
      let stated = base.base.config?[QuantizationConfig.key]
      let skipped = stated?["llm_int8_skip_modules"]?.array?.compactMap(\.string)
      config =
        keepsUntouched
        ? stated ?? QuantizationConfig.json(scheme, skipped: nil)
        : QuantizationConfig.json(scheme, skipped: skipped)
      storedTransposed = Dictionary(
        model.tensors.compactMap { tensor in
          base.weight(tensor.info.name).map { (tensor.name, $0.storedTransposed) }
        }, uniquingKeysWith: { first, _ in first })
    } else {
      scheme = try QuantizationScheme(kind)
      keepsUntouched = false
      let selection = try QuantizedSelection(model, skip: [])
      config = QuantizationConfig.json(scheme, skipped: selection.skipped)
      storedTransposed = Dictionary(
        selection.layers.map { ($0.tensor.name, $0.storedTransposed) },
        uniquingKeysWith: { first, _ in first })
    }
    self.base = base
  }

  func quantizes(_ name: String) -> Bool { storedTransposed[name] != nil }

  /// The output's tensors with those that are to be quantized so.
  ///
  /// - Parameter planned: the output unpacked, shard by shard: changed weights in f32.
  func applied(
    to planned: [[PlannedTensor]], model: BaseModel, element: ElementType?, threads: Int,
    looksAtWeights: Bool
  ) throws -> (shards: [[PlannedTensor]], layers: [any QuantizedLayer]) {
    var sources: [QuantizedSource] = []
    for tensor in planned.joined() where isQuantizedAnew(tensor) {
      sources.append(try source(tensor, model: model, element: element))
    }
    let layers = try QuantizedLayers.make(
      sources, scheme: scheme, threads: threads, looksAtWeights: looksAtWeights, progress: nil)
    let byName = Dictionary(layers.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let shards = planned.map { shard in
      shard.flatMap { tensor in
        if let layer = byName[tensor.name] { return layer.tensors }
        guard quantizes(tensor.name), let base, let stored = model.tensor(tensor.name),
          let weight = base.weight(stored.info.name)
        else { return [tensor] }
        return base.copies(of: weight, as: tensor.name)
      }
    }
    return (shards, layers)
  }

  private func isQuantizedAnew(_ tensor: PlannedTensor) -> Bool {
    quantizes(tensor.name) && !(keepsUntouched && !(tensor.source is MergedTensor))
  }

  private func source(
    _ planned: PlannedTensor, model: BaseModel, element: ElementType?
  ) throws -> QuantizedSource {
    guard let stored = ElementType(planned.dtype), planned.shape.count == 2 else {
      throw AdapterError.elementType(tensor: planned.name, dtype: planned.dtype)
    }
    let transposed = storedTransposed[planned.name] ?? false
    let shape = transposed ? planned.shape.reversed() : planned.shape
    func oriented(_ source: any TensorSource) -> any TensorSource {
      transposed
        ? TransposedTensor(source, element: stored, rows: shape[0], columns: shape[1]) : source
    }
    let merged = planned.source as? MergedTensor
    let own = model.tensor(planned.name).flatMap { ElementType($0.dtype) }
    return QuantizedSource(
      name: planned.name, shape: shape, element: element ?? own ?? stored,
      elements: oriented(planned.source), elementsType: stored,
      original: merged.map { oriented(RowsTensor(rows: $0.base)) })
  }
}

extension QuantizedModel {
  /// The tensors of `weight` as they are stored, under the name of another layer where it is repeated.
  fileprivate func copies(of weight: QuantizedWeight, as name: String) -> [PlannedTensor] {
    func stem(_ name: String) -> String { String(name.dropLast("weight".count)) }
    return weight.tensors.compactMap { (part) -> PlannedTensor? in
      guard let tensor = base.tensor(part) else { return nil }
      var copy = PlannedTensor(keeping: tensor, of: base, as: nil)
      if name != weight.name {
        copy = PlannedTensor(
          name: stem(name) + String(part.dropFirst(stem(weight.name).count)), dtype: copy.dtype,
          shape: copy.shape, source: copy.source)
      }
      return copy
    }
  }
}

extension QuantizedWeight.Storage {
  /// The scheme that the weight is quantized in.
  var scheme: QuantizationScheme? {
    switch self {
    case .fourBit(let format, let type, _, let scales):
      let nested = if case .nested = scales { true } else { false }
      return QuantizationScheme.Kind(rawValue: type).flatMap {
        try? QuantizationScheme($0, blockSize: format.blockSize, doubleQuantized: nested)
      }
    case .int8: return try? QuantizationScheme(.int8)
    }
  }
}
