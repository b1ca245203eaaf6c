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

  /// How much of the change is in the decoded elements `range`, `run` elements at a time; nil where
  /// that is not asked.
  ///
  /// - Parameter decode: called where it is asked.
  func keptChanges(
    _ range: Range<Int>, stored: UnsafeRawBufferPointer, run: Int, workspace: Workspace,
    decode: () -> UnsafeBufferPointer<Float>
  ) throws -> [KeptChange]? {
    guard let original else { return nil }
    let before = try original.read(range, workspace: workspace, into: .original)
      .bindMemory(to: Float.self)
    let after = stored.bindMemory(to: Float.self)
    let decoded = decode()
    return stride(from: 0, to: range.count, by: run).map { start in
      let part = start..<min(start + run, range.count)
      return KeptChange(
        original: UnsafeBufferPointer(rebasing: before[part]),
        changed: UnsafeBufferPointer(rebasing: after[part]),
        decoded: UnsafeBufferPointer(rebasing: decoded[part]))
    }
  }
}

extension RunLoss {
  /// What runs of `run` elements lost, the first of which begins at `start`: those that begin in `own`.
  static func runs(
    from start: Int, of run: Int, errors: [ReconstructionError], kept: [KeptChange]?,
    own: Range<Int>
  ) -> [RunLoss] {
    errors.indices.filter { own.contains(start + $0 * run) }.map {
      RunLoss(run: start / run + $0, error: errors[$0], kept: kept?[$0] ?? KeptChange())
    }
  }
}
