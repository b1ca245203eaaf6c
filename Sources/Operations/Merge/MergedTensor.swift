import Adapters
import Kernels
import Safetensors
import Synchronization

/// One output tensor that adapters change: W0 read from the base, every change in the order of the
/// adapters, one rounding.
final class MergedTensor: TensorSource {
  /// The tensor's matrix: rows and columns as the updates see them.
  struct Shape: Sendable {
    let rows: Int
    let columns: Int
  }

  let name: String
  let shape: Shape
  /// The stored type of W0, in which the change is rounded.
  let element: ElementType
  /// The stored type of the output.
  let output: ElementType
  let base: any StoredRows
  /// What happens to the tensor, in order.
  let changes: [TensorChange]
  let loaders: [AdapterLoader]
  private let result = Mutex<MergedTensorReport?>(nil)
  private let prepared = Mutex<Prepared?>(nil)
  /// Whether the base's CRC-32 is wanted.
  private let checksBase: Bool
  /// Notes what brings W0 back; nil where nobody asked for it.
  let recorder: TensorRecorder?

  init(
    name: String, shape: Shape, element: ElementType, output: ElementType, base: any StoredRows,
    changes: [TensorChange], loaders: [AdapterLoader], checksBase: Bool,
    recorder: TensorRecorder? = nil
  ) {
    self.name = name
    self.shape = shape
    self.element = element
    self.output = output
    self.base = base
    self.changes = changes
    self.loaders = loaders
    self.checksBase = checksBase
    self.recorder = recorder
  }

  /// What the merge did; nil until the tensor is done.
  var report: MergedTensorReport? { result.withLock { $0 } }

  /// Bytes of an output row, and of a row in the type that the change is rounded in.
  private var rowBytes: Int { shape.columns * output.size }
  private var elementRowBytes: Int { shape.columns * element.size }

  func open(_ workspace: Workspace) throws {
    let steps = try changes.map { try $0.loaded(loaders, shape: shape) }
    let rows = WatchedRows(FloatRows(stored: base, shape: shape, element: element))
    let ready = try steps.map { try $0.prepared(reading: rows) }
    let pipeline = MergePipeline(ready, shape: shape, keepsChange: recorder != nil)
    recorder?.begin(pipeline, readsBase: rows.wasRead)
    let prepared = Prepared(pipeline, rows: shape.rows)
    if prepared.pipeline.needsWholeMatrix {
      prepared.whole = try wholeMatrix(prepared, workspace)
    }
    self.prepared.withLock { $0 = prepared }
  }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    guard let prepared = prepared.withLock({ $0 }), !range.isEmpty else { return }
    if let whole = prepared.whole {
      whole.withUnsafeBytes {
        output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range]))
      }
      return
    }
    let touched = range.lowerBound / rowBytes..<(range.upperBound + rowBytes - 1) / rowBytes
    // A row is this range's own when it starts here: each row is counted once.
    let own = (range.lowerBound + rowBytes - 1) / rowBytes..<touched.upperBound
    try forEachBand(of: touched, prepared.pipeline) { band in
      let stored = try readBase(band, own: own, prepared, workspace)
      let computed = try prepared.pipeline.compute(
        rows: band, stored: stored, element: element, workspace: workspace)
      if let recorder {
        let bytes = workspace.bytes(.merged, count: band.count * rowBytes)
        storeWhole(computed, into: bytes, prepared, own: own, workspace)
        try recorder.record(
          computed, merged: UnsafeRawBufferPointer(bytes), chunksFrom: own, workspace: workspace)
        output.copyOverlap(range, from: bytes, at: band.lowerBound * rowBytes)
        return
      }
      for run in runs(of: band.clamped(to: touched), in: range) {
        let start = run.rows.lowerBound * rowBytes - range.lowerBound
        let statistics = workspace.bytes(
          .statistics, count: run.rows.count * MemoryLayout<RowStatistics>.stride
        ).bindMemory(to: RowStatistics.self)
        if run.isWhole {
          let target = UnsafeMutableRawBufferPointer(
            rebasing: output[start..<start + run.rows.count * rowBytes])
          store(computed, run.rows, into: target, statistics, workspace)
        } else {
          let row = workspace.bytes(.row, count: rowBytes)
          store(computed, run.rows, into: row, statistics, workspace)
          let part = max(0, -start)..<min(rowBytes, output.count - start)
          UnsafeMutableRawBufferPointer(
            rebasing: output[start + part.lowerBound..<start + part.upperBound]
          ).copyMemory(from: UnsafeRawBufferPointer(rebasing: row[part]))
        }
        prepared.record(statistics, rows: run.rows, own: own)
      }
    }
  }

  /// Stores rows in the output's type.
  private func store(
    _ computed: ComputedBand, _ rows: Range<Int>, into target: UnsafeMutableRawBufferPointer,
    _ statistics: UnsafeMutableBufferPointer<RowStatistics>, _ workspace: Workspace
  ) {
    guard output != element else {
      return computed.store(rows, into: target, statistics: statistics)
    }
    let stored = workspace.bytes(.replacement, count: rows.count * elementRowBytes)
    computed.store(rows, into: stored, statistics: statistics)
    let values = workspace.floats(.converted, count: rows.count * shape.columns)
    element.widen(from: UnsafeRawBufferPointer(stored), to: values)
    output.round(from: UnsafeBufferPointer(values), to: target)
    guard element == .f32 else { return }
    // What was kept is what the output's type kept.
    output.widen(from: UnsafeRawBufferPointer(target), to: values)
    let base = computed.stored.bindMemory(to: Float.self)
    let changed = stored.bindMemory(to: Float.self)
    for row in 0..<rows.count {
      let own = row * shape.columns..<(row + 1) * shape.columns
      let before = rows.lowerBound - computed.rows.lowerBound + row
      let kept = KeptChange(
        original: UnsafeBufferPointer(
          rebasing: base[before * shape.columns..<(before + 1) * shape.columns]),
        changed: UnsafeBufferPointer(rebasing: UnsafeBufferPointer(changed)[own]),
        decoded: UnsafeBufferPointer(rebasing: UnsafeBufferPointer(values)[own]))
      statistics[row].deltaSquared = kept.wanted
      statistics[row].keptDotDelta = kept.kept
    }
  }

  /// Stores all rows of a band.
  private func storeWhole(
    _ computed: ComputedBand, into target: UnsafeMutableRawBufferPointer, _ prepared: Prepared,
    own: Range<Int>, _ workspace: Workspace
  ) {
    let statistics = workspace.bytes(
      .statistics, count: computed.rows.count * MemoryLayout<RowStatistics>.stride
    ).bindMemory(to: RowStatistics.self)
    store(computed, computed.rows, into: target, statistics, workspace)
    prepared.record(statistics, rows: computed.rows, own: own)
  }

  func close(checksum: UInt32) throws {
    let finished = prepared.withLock { state in
      defer { state = nil }
      return state
    }
    guard let finished else { return }
    let report = MergedTensorReport(
      tensor: name, statistics: RowStatistics.sum(finished.statistics),
      baseChecksum: checksBase ? finished.baseChecksum(rowBytes: base.rowBytes) : nil)
    result.withLock { $0 = report }
  }

  // MARK: - Bands

  /// Cuts `rows` into bands that keep their f32 copies near the caches, aligned to the pipeline's
  /// granularity.
  private func forEachBand(
    of rows: Range<Int>, _ pipeline: MergePipeline, _ body: (Range<Int>) throws -> Void
  ) rethrows {
    let granularity = recorder?.rowsPerChunk ?? pipeline.rowGranularity
    let first = rows.lowerBound / granularity * granularity
    let last = min(shape.rows, (rows.upperBound + granularity - 1) / granularity * granularity)
    let wanted = max(1, pipeline.bandElements / max(1, shape.columns))
    let height = max(granularity, wanted / granularity * granularity)
    for start in stride(from: first, to: last, by: height) {
      try body(start..<min(start + height, last))
    }
  }

  /// The rows of `band` that `range` wants: a first one in part, whole ones, a last one in part.
  private func runs(
    of band: Range<Int>, in range: Range<Int>
  ) -> [(rows: Range<Int>, isWhole: Bool)] {
    var runs: [(rows: Range<Int>, isWhole: Bool)] = []
    var whole = band
    if !whole.isEmpty, whole.lowerBound * rowBytes < range.lowerBound {
      runs.append((whole.lowerBound..<whole.lowerBound + 1, false))
      whole = whole.lowerBound + 1..<whole.upperBound
    }
    var last: Range<Int>?
    if !whole.isEmpty, whole.upperBound * rowBytes > range.upperBound {
      last = whole.upperBound - 1..<whole.upperBound
      whole = whole.lowerBound..<whole.upperBound - 1
    }
    if !whole.isEmpty { runs.append((whole, true)) }
    if let last { runs.append((last, false)) }
    return runs
  }

  private func readBase(
    _ band: Range<Int>, own: Range<Int>, _ prepared: Prepared, _ workspace: Workspace
  ) throws -> UnsafeRawBufferPointer {
    let buffer = workspace.bytes(.base, count: band.count * elementRowBytes)
    try base.read(band, into: buffer, workspace: workspace)
    if checksBase {
      let counted = band.clamped(to: own)
      if !counted.isEmpty {
        let start = (counted.lowerBound - band.lowerBound) * elementRowBytes
        let crc = CRC32.of(
          UnsafeRawBufferPointer(rebasing: buffer[start..<start + counted.count * elementRowBytes]))
        prepared.addBase(counted, crc: crc)
      }
    }
    return UnsafeRawBufferPointer(buffer)
  }

  /// W', computed at once: for changes whose rows depend on all rows.
  private func wholeMatrix(_ prepared: Prepared, _ workspace: Workspace) throws -> [UInt8] {
    let rows = 0..<shape.rows
    let stored = try readBase(rows, own: rows, prepared, workspace)
    let computed = try prepared.pipeline.compute(
      rows: rows, stored: stored, element: element, workspace: workspace)
    var bytes = [UInt8](repeating: 0, count: shape.rows * rowBytes)
    try bytes.withUnsafeMutableBytes { bytes in
      storeWhole(computed, into: bytes, prepared, own: rows, workspace)
      try recorder?.record(
        computed, merged: UnsafeRawBufferPointer(bytes), chunksFrom: rows, workspace: workspace)
    }
    return bytes
  }
}

/// What a merged tensor holds while it is being written.
private final class Prepared: Sendable {
  let pipeline: MergePipeline
  /// Set before the object is shared, never after.
  nonisolated(unsafe) var whole: [UInt8]?
  private let progress: Mutex<(rows: [RowStatistics], base: [(Range<Int>, UInt32)])>

  init(_ pipeline: MergePipeline, rows: Int) {
    self.pipeline = pipeline
    progress = Mutex((Array(repeating: RowStatistics(), count: rows), []))
  }

  /// Every row's statistics.
  var statistics: [RowStatistics] { progress.withLock { $0.rows } }

  func record(
    _ statistics: UnsafeMutableBufferPointer<RowStatistics>, rows: Range<Int>, own: Range<Int>
  ) {
    let counted = rows.clamped(to: own)
    progress.withLock { progress in
      for row in counted { progress.rows[row] = statistics[row - rows.lowerBound] }
    }
  }

  func addBase(_ rows: Range<Int>, crc: UInt32) {
    progress.withLock { $0.base.append((rows, crc)) }
  }

  func baseChecksum(rowBytes: Int) -> UInt32 {
    progress.withLock { progress in
      progress.base.sorted { $0.0.lowerBound < $1.0.lowerBound }.reduce(0) {
        CRC32.combine($0, $1.1, lengthOfB: $1.0.count * rowBytes)
      }
    }
  }
}

/// What a merge did to one tensor.
public struct MergedTensorReport: Sendable {
  public let tensor: String
  /// Over the whole tensor.
  public let statistics: RowStatistics
  /// CRC-32 of the base's bytes, where it was asked for.
  let baseChecksum: UInt32?
}
