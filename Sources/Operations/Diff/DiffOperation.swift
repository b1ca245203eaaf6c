import Adapters
import Kernels
import Safetensors
import Synchronization

/// What differs between two models, two adapters, or a model and the one that a merge would make.
public struct DiffReport: Sendable {
  public enum Kind: String, Sendable { case model, adapter }

  public let kind: Kind
  public let tensors: TensorSetComparison
  /// nil for models.
  public let adapters: AdapterComparison?
  /// Of the most changed matrices or modules, the most changed first.
  public let spectra: [ChangeSpectrum]

  /// Nothing differs: no tensor, and of adapters no setting.
  public var isIdentical: Bool {
    tensors.isIdentical && (adapters?.fields.isEmpty ?? true)
  }
}

/// Compares what a request names.
public struct DiffOperation: Sendable {
  public let request: DiffRequest

  public init(_ request: DiffRequest) {
    self.request = request
  }

  public func run(progress: ProgressReport? = nil) throws -> DiffReport {
    let (a, b) = (request.a, request.b)
    let isAdapter = try (Self.isAdapter(a), Self.isAdapter(b))
    if isAdapter.0 != isAdapter.1 {
      let (adapter, model) = isAdapter.0 ? (a, b) : (b, a)
      throw DiffError.differentKinds(adapter: adapter.path, model: model.path)
    }
    return try isAdapter.0 ? adapters(progress) : models(progress)
  }

  private static func isAdapter(_ operand: DiffOperand) throws -> Bool {
    guard Verification.isAdapter(operand.path) else { return false }
    guard operand.adapters.isEmpty else { throw DiffError.adapterAsBase(path: operand.path) }
    return true
  }

  private func compare(
    _ a: ComparedModel, _ b: ComparedModel, _ progress: ProgressReport?
  ) throws -> TensorSetComparison {
    let found = try TensorSetComparison(a, b, request: request, progress: progress)
    guard found.count > 0 || a.tensors.isEmpty && b.tensors.isEmpty else {
      throw DiffError.nothingSelected
    }
    return found
  }

  // MARK: - Models

  private func models(_ progress: ProgressReport?) throws -> DiffReport {
    let (first, quantizedFirst) = try model(request.a)
    let (second, quantizedSecond) = try model(request.b)
    let (a, b) = QuantizedWeights.decoding(first, quantizedFirst, second, quantizedSecond)
    let tensors = try compare(a, b, progress)
    let pairs = DiffOrder.norm.sorted(tensors.changed)
      .compactMap { tensors.pairs[$0.tensor] }.filter { $0.features != nil && $0.formats != nil }
    return DiffReport(
      kind: .model, tensors: tensors, adapters: nil,
      spectra: try spectra(Array(pairs.prefix(request.spectra))))
  }

  private func model(
    _ operand: DiffOperand
  ) throws -> (ComparedModel, QuantizedWeights) {
    if operand.adapters.isEmpty {
      let base = try BaseModel(path: operand.path)
      return (ComparedModel(base), try QuantizedWeights(base))
    }
    var merge = request.merging
    merge.base = operand.path
    merge.adapters = operand.adapters
    let plan = try MergePlan(merge)
    return (ComparedModel(plan), try QuantizedWeights(plan.base))
  }

  private func spectra(_ pairs: [TensorPair]) throws -> [ChangeSpectrum] {
    let found = Mutex([ChangeSpectrum?](repeating: nil, count: pairs.count))
    let next = Atomic<Int>(0)
    try Workers.run(count: max(1, min(request.threads, pairs.count))) { _ in
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < pairs.count else { return }
        let spectrum = try ChangeSpectrum(pairs[index])
        found.withLock { $0[index] = spectrum }
      }
    }
    return found.withLock { $0.compactMap { $0 } }
  }

  // MARK: - Adapters

  private func adapters(_ progress: ProgressReport?) throws -> DiffReport {
    let a = try AdapterFile(path: request.a.path)
    let b = try AdapterFile(path: request.b.path)
    let tensors = try compare(ComparedModel(a.weights), ComparedModel(b.weights), progress)
    let comparison = try AdapterComparison(a, b, request: request)
    // What only one adapter changes comes last: there is nothing to compare it with.
    let changed = comparison.modules.filter { $0.relativeNorm != 0 }
      .enumerated().sorted {
        let (x, y) = ($0.element.relativeNorm ?? -1, $1.element.relativeNorm ?? -1)
        return x == y ? $0.offset < $1.offset : x > y
      }
    return DiffReport(
      kind: .adapter, tensors: tensors, adapters: comparison,
      spectra: changed.prefix(request.spectra).compactMap { ChangeSpectrum($0.element) })
  }
}
