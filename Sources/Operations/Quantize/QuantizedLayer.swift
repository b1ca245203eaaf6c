import Kernels
import Safetensors
import Synchronization

/// A weight that is being quantized: the tensors of the output that it becomes, and what it lost.
protocol QuantizedLayer: Sendable {
  /// The weight's name.
  var name: String { get }
  /// Output features, input features.
  var shape: [Int] { get }
  /// The type that it has before it is quantized.
  var element: ElementType { get }
  /// The tensors of the output.
  var tensors: [PlannedTensor] { get }
  /// Bytes of codes and scales.
  var storedBytes: Int { get }
  /// What was lost; complete when the output is written.
  var losses: QuantizationLosses { get }
}

extension QuantizedLayer {
  var elements: Int { shape[0] * shape[1] }
}

/// What one run of a weight's elements lost.
struct RunLoss: Sendable {
  /// The place of the run among the weight's.
  var run = 0
  var error = ReconstructionError()
  var kept = KeptChange()
}

/// What a weight lost by quantization, collected run by run in any order.
final class QuantizationLosses: Sendable {
  private let state = Mutex<(runs: [RunLoss], total: RunLoss)>(([], RunLoss()))

  func record(_ found: [RunLoss]) {
    state.withLock { $0.runs += found }
  }

  /// Adds up the runs, in ascending order, and forgets them.
  func finish() {
    state.withLock { state in
      for run in state.runs.sorted(by: { $0.run < $1.run }) {
        state.total.error.add(run.error)
        state.total.kept.add(run.kept)
      }
      state.runs = []
    }
  }

  var error: ReconstructionError { state.withLock { $0.total.error } }
  var kept: KeptChange { state.withLock { $0.total.kept } }
}

/// How much of a wanted change W − W0 is in the decoded weight, in f64.
struct KeptChange: Sendable, Equatable {
  /// Σ d², d = w − w0.
  private(set) var wanted = 0.0
  /// Σ (decoded − w0)·d.
  private(set) var kept = 0.0

  init() {}

  /// The change of one run of elements, in f32. The sums run through eight lanes, which are added from
  /// the first to the last.
  init(
    original: UnsafeBufferPointer<Float>, changed: UnsafeBufferPointer<Float>,
    decoded: UnsafeBufferPointer<Float>
  ) {
    var (wanted, kept) = (SIMD8<Double>.zero, SIMD8<Double>.zero)
    for start in stride(from: 0, to: original.count, by: 8) {
      let base = SIMD8<Double>(Self.eight(original, from: start))
      let change = SIMD8<Double>(Self.eight(changed, from: start)) - base
      let found = SIMD8<Double>(Self.eight(decoded, from: start)) - base
      // Where w0 is not finite there is no change to speak of.
      let counts = (base - base) .== 0
      let squares = change * change
      let products = found * change
      wanted += SIMD8<Double>.zero.replacing(with: squares, where: counts)
      kept += SIMD8<Double>.zero.replacing(with: products, where: counts)
    }
    self.wanted = (0..<8).reduce(0) { $0 + wanted[$1] }
    self.kept = (0..<8).reduce(0) { $0 + kept[$1] }
  }

  /// Eight values; zeros beyond the end.
  private static func eight(
    _ values: UnsafeBufferPointer<Float>, from start: Int
  ) -> SIMD8<Float> {
    if start + 8 <= values.count {
      return UnsafeRawBufferPointer(values).loadUnaligned(
        fromByteOffset: start * 4, as: SIMD8<Float>.self)
    }
    var result = SIMD8<Float>.zero
    for lane in 0..<values.count - start { result[lane] = values[start + lane] }
    return result
  }

  mutating func add(_ other: KeptChange) {
    wanted += other.wanted
    kept += other.kept
  }

  /// ⟨decoded − W0, W − W0⟩ / ‖W − W0‖²; nil where no change was wanted.
  var retention: Double? { wanted > 0 ? kept / wanted : nil }
}

/// Where a weight's elements come from.
struct QuantizedSource: Sendable {
  let name: String
  /// Output features, input features.
  let shape: [Int]
  /// The type that decoding gives back.
  let element: ElementType
  /// Row-major.
  let elements: SharedElements
  /// W0 in f32, where `elements` is W0 + ΔW in f32 and it is asked how much of ΔW is kept.
  let original: SharedElements?

  init(
    name: String, shape: [Int], element: ElementType, elements: any TensorSource,
    elementsType: ElementType? = nil, original: (any TensorSource)? = nil
  ) {
    (self.name, self.shape, self.element) = (name, shape, element)
    self.elements = SharedElements(elements, element: elementsType ?? element)
    self.original = original.map { SharedElements($0, element: .f32) }
  }

  var count: Int { shape[0] * shape[1] }

  func open(_ workspace: Workspace) throws {
    try elements.open(workspace)
    try original?.open(workspace)
  }

  func close() throws {
    try elements.close()
    try original?.close()
  }

  /// What the codes of the elements `range` lost, `run` elements at a time; runs that begin in `own`.
  func losses(
    _ range: Range<Int>, stored: UnsafeRawBufferPointer, decoded: UnsafeBufferPointer<Float>,
    run: Int, own: Range<Int>, workspace: Workspace
  ) throws -> [RunLoss] {
    let before = try original?.read(range, workspace: workspace, into: .original)
      .bindMemory(to: Float.self)
    let size = elements.element.size
    return stride(from: range.lowerBound, to: range.upperBound, by: run).compactMap {
      (start) -> RunLoss? in
      guard own.contains(start) else { return nil }
      let part = start - range.lowerBound..<min(start + run, range.upperBound) - range.lowerBound
      let values = UnsafeBufferPointer(rebasing: decoded[part])
      let bytes = UnsafeRawBufferPointer(
        rebasing: stored[part.lowerBound * size..<part.upperBound * size])
      let error = ReconstructionError(of: bytes, as: elements.element, decoded: values)
      var kept = KeptChange()
      if let before {
        kept = KeptChange(
          original: UnsafeBufferPointer(rebasing: before[part]),
          changed: bytes.bindMemory(to: Float.self),
          decoded: values)
      }
      return RunLoss(run: start / run, error: error, kept: kept)
    }
  }
}
