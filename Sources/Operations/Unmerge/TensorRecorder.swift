import Kernels
import Synchronization

/// Notes, while one tensor is merged, what brings W0 back from W' and the adapters
/// (spec/undo-record.md).
///
/// A tensor is cut into chunks of whole rows that are coded by themselves, by whichever thread has their
/// first row: the record depends neither on threads nor on blocks.
final class TensorRecorder: Sendable {
  /// What was noted.
  struct Notes: Sendable {
    var coding: UndoCoding
    /// Bytes of the tensor in a chunk; the last one may have fewer.
    var chunkBytes: Int
    var chunks: [ChunkStore.Place]
    /// Q, one per row or per column, where the adapters do not tell it.
    var factors: [Float] = []
  }

  private struct State {
    var reversal = MergePipeline.Reversal.general
    var rowsPerChunk = 1
    var chunks: [ChunkStore.Place?] = []
    var factors: [Float] = []

    /// Keeps Q of `rows`, or of all columns.
    mutating func keepFactors(_ computed: ComputedBand, rows: Range<Int>, _ axis: FactorAxis) {
      guard case .scaled(_, let values, _) = computed.content else { return }
      if axis == .perRow {
        for row in rows { factors[row] = values[row - computed.rows.lowerBound] }
      } else {
        for column in 0..<computed.columns { factors[column] = values[column] }
      }
    }
  }

  private let name: String
  private let shape: MergedTensor.Shape
  private let element: ElementType
  private let store: ChunkStore
  private let state = Mutex(State())

  init(name: String, shape: MergedTensor.Shape, element: ElementType, store: ChunkStore) {
    self.name = name
    self.shape = shape
    self.element = element
    self.store = store
  }

  var rowsPerChunk: Int { state.withLock { $0.rowsPerChunk } }

  /// What was noted; nil before the tensor is merged.
  var notes: Notes? {
    state.withLock { state in
      let chunks = state.chunks.compactMap { $0 }
      guard !chunks.isEmpty, chunks.count == state.chunks.count else { return nil }
      return Notes(
        coding: state.reversal == .general ? .difference : .candidates,
        chunkBytes: state.rowsPerChunk * shape.columns * element.size, chunks: chunks,
        factors: state.factors)
    }
  }

  /// Called when the tensor's changes are known.
  ///
  /// - Parameter readsBase: they have read W0 to prepare themselves.
  func begin(_ pipeline: MergePipeline, readsBase: Bool) {
    let granularity = pipeline.needsWholeMatrix ? 1 : pipeline.rowGranularity
    let wanted = max(1, UndoCoding.chunkElements / max(1, shape.columns))
    let height = (wanted + granularity - 1) / granularity * granularity
    let reversal = pipeline.reversal(readsBase: readsBase)
    state.withLock { state in
      state.reversal = reversal
      state.rowsPerChunk = height
      state.chunks = Array(repeating: nil, count: (shape.rows + height - 1) / height)
      if case .scaled(let axis, factorsKnown: false) = reversal {
        state.factors = Array(
          repeating: 1, count: axis == .perRow ? shape.rows : shape.columns)
      }
    }
  }

  /// Notes the chunks of a band whose first row is one of `own`.
  ///
  /// - Parameter merged: the band as it was stored.
  func record(
    _ computed: ComputedBand, merged: UnsafeRawBufferPointer, chunksFrom own: Range<Int>,
    workspace: Workspace
  ) throws {
    let (reversal, height) = state.withLock { ($0.reversal, $0.rowsPerChunk) }
    let rowBytes = computed.columns * computed.element.size
    let rows = computed.rows
    for start in stride(from: rows.lowerBound, to: rows.upperBound, by: height)
    where own.contains(start) {
      let run = start..<min(start + height, rows.upperBound)
      let bytes =
        (start - rows.lowerBound) * rowBytes..<(run.upperBound - rows.lowerBound) * rowBytes
      let stored = UnsafeRawBufferPointer(rebasing: computed.stored[bytes])
      let after = UnsafeRawBufferPointer(rebasing: merged[bytes])
      let place: ChunkStore.Place
      if reversal != .general, let changed = computed.changed(run, merged: after) {
        let code = workspace.bytes(.code, count: bytes.count)
        guard let used = CandidateCoding.encode(stored, of: changed, into: code) else {
          throw UndoError.notReproducible(tensor: name)
        }
        place = try store.append(UnsafeRawBufferPointer(rebasing: code[..<used]))
      } else {
        let code = DifferenceCoding.encode(stored, merged: after, element: computed.element)
        place = try code.withUnsafeBytes { try store.append($0) }
      }
      state.withLock { state in
        state.chunks[start / height] = place
        if case .scaled(let axis, factorsKnown: false) = reversal {
          state.keepFactors(computed, rows: run, axis)
        }
      }
    }
  }
}
